package discoverycli

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/clientevents/clientevents/internal/discovery"
)

// group is a command with methods under it: a top-level resource of the API.
type group struct {
	name     string
	commands []*command
}

// command is one method of the API on the command line.
type command struct {
	group, name string
	method      *discovery.Method
	// args are the required parameters, words of the command line.
	args []parameter
	// params are the parameters of -p: this method's and those of all methods.
	params []parameter
}

// parameter is a part of the URL.
type parameter struct {
	// typed is the name on the command line, name the API's.
	typed, name string
	schema      *discovery.Schema
	// common reports whether every method has it.
	common bool
}

// commandTree returns the API's methods as commands: a group for each top-level
// resource, with its methods. The names of resources in between are prefixes, as in
// "projects tenants-client-events-create".
func commandTree(api *discovery.API) []*group {
	var groups []*group
	for _, name := range slices.Sorted(maps.Keys(api.Resources)) {
		g := &group{name: kebab(name)}
		g.add(api, api.Resources[name], "")
		slices.SortFunc(g.commands, func(a, b *command) int { return strings.Compare(a.name, b.name) })
		groups = append(groups, g)
	}
	return groups
}

func (g *group) add(api *discovery.API, r *discovery.Resource, prefix string) {
	for name, m := range r.Methods {
		c := &command{group: g.name, name: prefix + kebab(name), method: m}
		c.addParameters(api)
		g.commands = append(g.commands, c)
	}
	for name, sub := range r.Resources {
		g.add(api, sub, prefix+kebab(name)+"-")
	}
}

func (c *command) addParameters(api *discovery.API) {
	for _, name := range c.method.ParameterOrder {
		if s := c.method.Parameters[name]; s != nil {
			c.args = append(c.args, parameter{typed: kebab(name), name: name, schema: s})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(api.Parameters)) {
		c.params = append(c.params, parameter{typed: kebab(name), name: name, schema: api.Parameters[name], common: true})
	}
	for _, name := range slices.Sorted(maps.Keys(c.method.Parameters)) {
		s := c.method.Parameters[name]
		if s.Location == "query" && !slices.Contains(c.method.ParameterOrder, name) {
			c.params = append(c.params, parameter{typed: kebab(name), name: name, schema: s})
		}
	}
}

// param returns the parameter of -p with the name. A method's own has precedence over
// a common one.
func (c *command) param(typed string) *parameter {
	for i := range slices.Backward(c.params) {
		if c.params[i].typed == typed {
			return &c.params[i]
		}
	}
	return nil
}

// setParams adds the items of -p to the query.
func (c *command) setParams(query url.Values, items []string) (faults []error) {
	for _, item := range items {
		if err := c.setParam(query, item); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

func (c *command) setParam(query url.Values, item string) error {
	typed, value, _ := strings.Cut(item, "=")
	if value == "" {
		return mismatch(item, "")
	}
	p := c.param(typed)
	if p == nil {
		return c.unknownParam(typed)
	}
	// As with google-apis-rs, only a method's own parameters have types; those of
	// all methods are sent as typed.
	if !p.common {
		v, err := p.parse(value)
		if err != nil {
			return err
		}
		value = v
	}
	if p.schema.Repeated {
		query.Add(p.name, value)
	} else {
		query.Set(p.name, value)
	}
	return nil
}

func (c *command) unknownParam(typed string) error {
	var names []string
	for _, p := range c.params {
		names = append(names, p.typed)
	}
	if n := nearest(typed, names); n != "" {
		return faultf("Parameter '%s' is unknown. Did you mean '%s' ?", typed, n)
	}
	return faultf("Parameter '%s' is unknown.", typed)
}

func (p *parameter) parse(value string) (string, error) {
	switch {
	case isInteger(p.schema):
		n, err := parseInteger(p.schema.Format, value)
		if err != nil {
			return "", parseFault(p.typed, value, p.schema.Format, err.Error())
		}
		return n, nil
	case p.schema.Type == "boolean" && value != "true" && value != "false":
		return "", parseFault(p.typed, value, "boolean", "provided string was not `true` or `false`")
	}
	return value, nil
}

// path returns the method's path with the command's escaped words. It adds required
// parameters of the query to query.
func (c *command) path(words []string, query url.Values) (string, []error) {
	var faults []error
	values := map[string]string{}
	for i, arg := range c.args {
		if err := arg.check(words[i]); err != nil {
			faults = append(faults, err)
			continue
		}
		if arg.schema.Location == "query" {
			query.Set(arg.name, words[i])
			continue
		}
		values[arg.name] = words[i]
	}
	path := templateVariable.ReplaceAllStringFunc(c.method.Path, func(v string) string {
		name := strings.Trim(v, "{+}")
		return escapePath(values[name], strings.HasPrefix(v, "{+"))
	})
	return path, faults
}

var templateVariable = regexp.MustCompile(`\{\+?[^{}]+\}`)

// check compares a word with the API's pattern, and refuses the segments "." and "..",
// which match the pattern but lead to another path.
func (p *parameter) check(word string) error {
	fits := true
	if p.schema.Pattern != "" {
		re, err := regexp.Compile(p.schema.Pattern)
		fits = err != nil || re.MatchString(word)
	}
	for segment := range strings.SplitSeq(word, "/") {
		fits = fits && segment != "." && segment != ".."
	}
	if fits {
		return nil
	}
	return faultf("Argument <%s> -> '%s' is not of the form '%s'.", p.typed, word, p.form())
}

// form returns a readable pattern: projects/<project> for ^projects/[^/]+$.
func (p *parameter) form() string {
	segments := strings.Split(strings.Trim(p.schema.Pattern, "^$"), "/[^/]+")
	var b strings.Builder
	for _, s := range segments[:len(segments)-1] {
		b.WriteString(s + "/<" + singular(strings.TrimPrefix(s, "/")) + ">")
	}
	return b.String() + segments[len(segments)-1]
}

func singular(collection string) string {
	if stem, ok := strings.CutSuffix(collection, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(collection, "s")
}

// escapePath escapes all characters except the unreserved ones of RFC 3986, and
// slashes that belong to the value. An unescaped colon would make a custom method of
// a name, as in "jobs/1:verb".
func escapePath(s string, slashes bool) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("-._~", c) >= 0, slashes && c == '/':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
