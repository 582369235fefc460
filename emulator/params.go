package emulator

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// params are the query parameters that change the answer. The other system
// parameters of the API are known and have no effect here.
type params struct {
	// compact is prettyPrint=false.
	compact bool
	// enumNumbers is $alt=json;enum-encoding=int: enums answered as numbers.
	enumNumbers bool
	// token is access_token or oauth_token.
	token string
	// fields is the selector of a partial answer, nil for all of it.
	fields *selection
	// own are the parameters of the method itself, checked when it is known.
	own []param
}

// param is a query parameter, its name in lowerCamelCase.
type param struct{ name, value string }

// query is the value of one of the method's own parameters, "" for none. Of
// those that come twice the last one counts.
func (p *params) query(name string) string {
	value := ""
	for _, one := range p.own {
		if one.name == name {
			value = one.value
		}
	}
	return value
}

// queries are all values of one of the method's own parameters.
func (p *params) queries(name string) []string {
	var values []string
	for _, one := range p.own {
		if one.name == name {
			values = append(values, one.value)
		}
	}
	return values
}

// checkOwn refuses parameters that the method does not have.
func (p *params) checkOwn(known []string) *apiError {
	for _, one := range p.own {
		if !slices.Contains(known, one.name) {
			return badParam(fmt.Sprintf("Invalid JSON payload received. Unknown name %q: Cannot bind query parameter. Field '%s' could not be found in request message.", one.name, one.name))
		}
	}
	return nil
}

// with is p overridden by what query says.
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
			return badParam(fmt.Sprintf("Invalid value at 'prettyPrint' (TYPE_BOOL), %q", value))
		}
		p.compact = !pretty
	case "access_token", "oauth_token":
		p.token = value
	case "fields":
		sel, err := parseSelection(value)
		if err != nil {
			return badParam(fmt.Sprintf("Invalid field selection %s: %v", value, err))
		}
		p.fields = sel
	case ".xgafv", "callback", "key", "quotaUser", "uploadType", "upload_protocol":
	default:
		p.own = append(p.own, param{protojson.JSONName(name), value})
	}
	return nil
}

func (p *params) setAlt(value string) *apiError {
	format, rest, _ := strings.Cut(value, ";")
	if format != "json" {
		return badParam(fmt.Sprintf("Invalid value at 'alt', %q: this server answers json only", value))
	}
	p.enumNumbers = rest == "enum-encoding=int"
	if rest != "" && !p.enumNumbers {
		return badParam(fmt.Sprintf("Invalid value at 'alt', %q: the only option is enum-encoding=int", value))
	}
	return nil
}

func badParam(message string) *apiError {
	return badFields(message, []fieldViolation{{Description: message}})
}
