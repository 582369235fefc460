package emulator

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// params are the query parameters that change the answer. The API's other system
// parameters are accepted and have no effect.
type params struct {
	// compact is prettyPrint=false.
	compact bool
	// enumNumbers is $alt=json;enum-encoding=int: enums answered as numbers.
	enumNumbers bool
	// firstErrorFormat is $.xgafv=1: errors with the list of V1.
	firstErrorFormat bool
	// token is access_token or oauth_token.
	token string
	// callback is the function that the answer is passed to as JSONP, "" for none.
	callback string
	// fields is the selector of a partial answer, nil for all of it.
	fields *selection
	// own are the parameters of the method itself, checked when it is known.
	own []param
}

// param is a query parameter, its name in lowerCamelCase.
type param struct{ name, value string }

// repeatable are the parameters of methods that may be repeated: lists, and an
// update's masks, which are combined.
var repeatable = []string{"languageCode", "languageCodes", "updateMask"}

// query returns the value of one of the method's own parameters, "" for none.
func (p *params) query(name string) string {
	for _, one := range p.own {
		if one.name == name {
			return one.value
		}
	}
	return ""
}

// queries returns all values of one of the method's own parameters.
func (p *params) queries(name string) []string {
	var values []string
	for _, one := range p.own {
		if one.name == name {
			values = append(values, one.value)
		}
	}
	return values
}

// check refuses unknown and repeated parameters, and fields that the method's answer
// does not have.
func (p *params) check(r *route) *apiError {
	for i, one := range p.own {
		if !slices.Contains(r.query, one.name) {
			return badParam("Invalid JSON payload received. Unknown name %q: Cannot bind query parameter. Field '%s' could not be found in request message.", one.name, one.name)
		}
		same := func(o param) bool { return o.name == one.name }
		if slices.ContainsFunc(p.own[:i], same) && !slices.Contains(repeatable, one.name) {
			return badParam("Invalid value at '%s', the parameter is not a list and can't be repeated", protojson.ProtoName(one.name))
		}
	}
	if p.fields != nil && r.response != nil {
		if unknown := p.fields.unknown(r.response()); unknown != "" {
			return badParam("Invalid field selection %s", protojson.Clip(unknown))
		}
	}
	return nil
}

// with returns p overridden by the parameters of a query string.
func (p params) with(query string) (params, *apiError) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := unescape(name)
		if err != nil {
			return p, errorf(http.StatusBadRequest, "Invalid query string: %v", err)
		}
		if value, err = unescape(value); err != nil {
			return p, errorf(http.StatusBadRequest, "Invalid query string: %v", err)
		}
		if err := p.set(name, value); err != nil {
			return p, err
		}
	}
	return p, nil
}

func unescape(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	return url.QueryUnescape(s)
}

// set takes one parameter. The names are those of the discovery documents
// ("parameters" of the document), plus the $-prefixed spelling that Google's
// generated REST clients use.
func (p *params) set(name, value string) *apiError {
	switch strings.TrimPrefix(name, "$") {
	case "alt":
		return p.setAlt(value)
	case "prettyPrint":
		pretty, err := strconv.ParseBool(value)
		if err != nil {
			return badParam("Invalid value at 'prettyPrint' (TYPE_BOOL), %q", protojson.Clip(value))
		}
		p.compact = !pretty
	case "access_token", "oauth_token":
		p.token = value
	case "fields":
		return p.setFields(value)
	case "callback":
		return p.setCallback(value)
	case ".xgafv":
		if value != "1" && value != "2" {
			return badParam("Invalid value at '$.xgafv', %q: expected 1 or 2", protojson.Clip(value))
		}
		p.firstErrorFormat = value == "1"
	case "key", "quotaUser", "uploadType", "upload_protocol":
	default:
		p.own = append(slices.Clip(p.own), param{protojson.JSONName(name), value})
	}
	return nil
}

func (p *params) setFields(value string) *apiError {
	sel, err := parseSelection(value)
	if err != nil {
		return badParam("Invalid field selection %s: %v", protojson.Clip(value), err)
	}
	p.fields = sel
	return nil
}

var callbackForm = regexp.MustCompile(`^[A-Za-z0-9_$.\[\]]+$`)

func (p *params) setCallback(value string) *apiError {
	if !callbackForm.MatchString(value) {
		return badParam("Invalid JSONP callback name: '%s'; only alphabet, number, '_', '$', '.', '[' and ']' are allowed.", protojson.Clip(value))
	}
	p.callback = value
	return nil
}

// setAlt reads alt: of the forms json, media and proto, only json is emulated.
func (p *params) setAlt(value string) *apiError {
	format, rest, _ := strings.Cut(value, ";")
	switch format {
	case "json":
	case "media", "proto":
		return errorf(http.StatusNotImplemented, "alt=%s is not emulated, expected json", format)
	default:
		return badParam("Invalid value at 'alt', %q: expected json, media or proto", protojson.Clip(value))
	}
	p.enumNumbers = rest == "enum-encoding=int"
	if rest != "" && !p.enumNumbers {
		return badParam("Invalid value at 'alt', %q: the only option is enum-encoding=int", protojson.Clip(value))
	}
	return nil
}

// jsonp passes the answer to the callback, if there is one.
func (p *params) jsonp(r reply) reply {
	if p.callback == "" {
		return r
	}
	body := make([]byte, 0, len(r.body)+len(p.callback)+32)
	body = append(body, "// API callback\n"+p.callback+"("...)
	body = append(body, strings.TrimSuffix(string(r.body), "\n")...)
	r.body = append(body, ");\n"...)
	header := http.Header{"Content-Type": {"text/javascript; charset=UTF-8"}, "X-Content-Type-Options": {"nosniff"}}
	maps.Copy(header, r.header)
	r.header = header
	return r
}

func badParam(format string, args ...any) *apiError {
	message := fmt.Sprintf(format, args...)
	return badFields(message, []fieldViolation{{Description: message}})
}

// pageSize returns the query parameter of that name, 0 if it was not sent.
func (c *call) pageSize() (int, *apiError) {
	s := c.params.query("pageSize")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, badParam("Invalid value at 'page_size' (TYPE_INT32), %q", protojson.Clip(s))
	}
	return int(n), nil
}

// flag returns a query parameter that is true or false.
func (c *call) flag(name string) (bool, *apiError) {
	s := c.params.query(name)
	if s == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, badParam("Invalid value at '%s' (TYPE_BOOL), %q", protojson.ProtoName(name), protojson.Clip(s))
	}
	return b, nil
}
