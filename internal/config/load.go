package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Key is the full path of the key; "" for what concerns the whole file.
	Key string
	// Value is the value as it was given; "" where there is none.
	Value string
	// Want says what would be right.
	Want string
	// Where is the file and line, or the environment variable.
	Where string
}

func (f Fault) Error() string {
	var b strings.Builder
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	if f.Value != "" {
		fmt.Fprintf(&b, "%q: ", f.Value)
	}
	b.WriteString(f.Want)
	if f.Where != "" {
		b.WriteString(" (" + f.Where + ")")
	}
	return b.String()
}

// Faults is everything that is wrong with a configuration, one line a fault.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Load reads the configuration from a file, and from the environment what it
// overrides. path may be "" for none. The error is of type [Faults].
func Load(path string, environ []string) (*Config, error) {
	l := &loader{path: path, keys: Keys(), given: map[string]given{}}
	if path != "" {
		l.readFile()
	}
	l.readEnviron(environ)
	c := l.apply()
	c.Warnings = l.warnings
	l.checkTogether(c)
	if len(l.faults) > 0 {
		slices.SortStableFunc(l.faults, func(a, b Fault) int { return l.order(a) - l.order(b) })
		return nil, l.faults
	}
	return c, nil
}

// given is a value as it was written, and where.
type given struct {
	values []string
	where  string
}

type loader struct {
	path   string
	keys   []Key
	given  map[string]given
	broken bool // the file could not be read, so that nothing can be missing
	faults Faults

	warnings []string
}

// order sorts faults as the keys are documented, those of the file first.
func (l *loader) order(f Fault) int {
	return slices.IndexFunc(l.keys, func(k Key) bool { return k.Path == f.Key })
}

func (l *loader) fault(f Fault) { l.faults = append(l.faults, f) }

func (l *loader) key(path string) *Key {
	if i := slices.IndexFunc(l.keys, func(k Key) bool { return k.Path == path }); i >= 0 {
		return &l.keys[i]
	}
	return nil
}

// isSection says whether there are keys below path.
func (l *loader) isSection(path string) bool {
	return slices.ContainsFunc(l.keys, func(k Key) bool { return strings.HasPrefix(k.Path, path+".") })
}

func (l *loader) readFile() {
	data, err := os.ReadFile(l.path)
	if err != nil {
		l.broken = true
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		l.fault(Fault{Want: fmt.Sprintf("can't read the configuration: %v", err), Where: l.path})
		return
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		l.broken = true
		l.fault(l.syntaxFault(err))
		return
	}
	if len(file.Docs) > 1 {
		l.fault(Fault{Want: "want one YAML document", Where: l.path})
		return
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			l.section("", doc.Body)
		}
	}
}

// syntaxFault makes one line of what the parser says.
func (l *loader) syntaxFault(err error) Fault {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		p := at.GetToken().Position
		return Fault{Want: "not YAML: " + at.GetMessage(), Where: fmt.Sprintf("%s:%d:%d", l.path, p.Line, p.Column)}
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return Fault{Want: "not YAML: " + first, Where: l.path}
}

func (l *loader) at(n ast.Node) string {
	p := n.GetToken().Position
	return fmt.Sprintf("%s:%d:%d", l.path, p.Line, p.Column)
}

// section reads a mapping whose keys are below path.
func (l *loader) section(path string, n ast.Node) {
	var members []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		members = n.Values
	case *ast.MappingValueNode:
		members = []*ast.MappingValueNode{n}
	case *ast.NullNode, *ast.CommentGroupNode:
		return
	default:
		l.fault(Fault{Key: path, Value: n.String(), Want: "want keys and values below it", Where: l.at(n)})
		return
	}
	seen := map[string]bool{}
	for _, m := range members {
		name := m.Key.GetToken().Value
		full := strings.TrimPrefix(path+"."+name, ".")
		if seen[full] {
			l.fault(Fault{Key: full, Want: "stands here twice", Where: l.at(m.Key)})
			continue
		}
		seen[full] = true
		l.member(full, m)
	}
}

func (l *loader) member(full string, m *ast.MappingValueNode) {
	k := l.key(full)
	switch {
	case k != nil && k.secret:
		l.fault(Fault{Key: full, Want: "is a secret: set it as " + k.Env() + ", or use a file", Where: l.at(m.Key)})
	case k != nil:
		l.value(k, m.Value)
	case l.isSection(full):
		l.section(full, m.Value)
	default:
		l.fault(Fault{Key: full, Want: "unknown key" + l.suggest(full), Where: l.at(m.Key)})
	}
}

// value takes a scalar, or a list of them where the key is a list.
func (l *loader) value(k *Key, n ast.Node) {
	if _, null := n.(*ast.NullNode); null {
		return // as if it were not there
	}
	if list, ok := n.(*ast.SequenceNode); ok {
		if !k.list {
			l.fault(Fault{Key: k.Path, Value: flat(n), Want: "want one value, not a list", Where: l.at(n)})
			return
		}
		values := []string{}
		for _, element := range list.Values {
			s, ok := scalar(element)
			if !ok {
				l.fault(Fault{Key: k.Path, Value: flat(element), Want: "want a list of texts", Where: l.at(element)})
				return
			}
			values = append(values, s)
		}
		l.given[k.Path] = given{values, l.at(n)}
		return
	}
	s, ok := scalar(n)
	if !ok {
		l.fault(Fault{Key: k.Path, Value: flat(n), Want: "want a value, not keys below it", Where: l.at(n)})
		return
	}
	values := []string{s}
	if k.list {
		values = strings.Split(s, ",")
	}
	l.given[k.Path] = given{values, l.at(n)}
}

// flat shows a node in one line.
func flat(n ast.Node) string { return strings.Join(strings.Fields(n.String()), " ") }

// scalar is the text of a node that is one value.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

const envPrefix = "CLIENTEVENTS_"

func (l *loader) readEnviron(environ []string) {
	byEnv := map[string]*Key{}
	for i := range l.keys {
		byEnv[l.keys[i].Env()] = &l.keys[i]
	}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		k := byEnv[name]
		if k == nil {
			// Not a fault: a cluster may set variables of its own, such as the
			// address of a service of this name.
			l.warnings = append(l.warnings, name+" is not a key's variable"+l.suggestEnv(name))
			continue
		}
		values := []string{value}
		if k.list {
			values = strings.Split(value, ",")
		}
		l.given[k.Path] = given{values, "environment variable " + name}
	}
}

// apply gives each key its value or its default.
func (l *loader) apply() *Config {
	c := &Config{}
	for _, k := range l.keys {
		g, ok := l.given[k.Path]
		switch {
		case !ok && k.Required:
			if !l.broken && !l.faulty(k.Path) {
				l.fault(Fault{Key: k.Path, Want: "is required: want " + k.Help})
			}
		case !ok && (k.Default == "" || strings.Contains(k.Default, "<")):
		case !ok:
			if err := k.set(c, []string{k.Default}); err != nil {
				panic(fmt.Sprintf("the default of %s: %v", k.Path, err))
			}
		default:
			if err := k.set(c, g.values); err != nil {
				shown := strings.Join(g.values, ",")
				if k.secret {
					shown = hidden
				}
				l.fault(Fault{Key: k.Path, Value: shown, Want: err.Error(), Where: g.where})
			}
		}
	}
	if c.Kafka.DeadLetterTopic == "" {
		c.Kafka.DeadLetterTopic = c.Kafka.Topic + ".dead-letter"
	}
	if c.Kafka.StateTopic == "" {
		c.Kafka.StateTopic = c.Kafka.Topic + ".reported"
	}
	return c
}

func (l *loader) faulty(path string) bool {
	return slices.ContainsFunc(l.faults, func(f Fault) bool {
		return f.Key == path || strings.HasPrefix(path, f.Key+".") && f.Key != ""
	})
}

// checkTogether checks what no key can say by itself.
func (l *loader) checkTogether(c *Config) {
	check := func(path, want string) {
		if l.faulty(path) {
			return
		}
		g := l.given[path]
		l.fault(Fault{Key: path, Value: strings.Join(g.values, ","), Want: want, Where: g.where})
	}
	if _, ok := l.given["api.parent"]; ok && c.API.Version != 0 {
		if err := c.API.Version.CheckParent(c.API.Parent); err != nil {
			_, want, _ := strings.Cut(err.Error(), ": ")
			check("api.parent", want+", the form for api.version "+c.API.Version.String())
		}
	}
	if t := c.Kafka.TLS; (t.CertFile == "") != (t.KeyFile == "") {
		if t.CertFile == "" {
			check("kafka.tls.cert_file", "is required together with kafka.tls.key_file")
		} else {
			check("kafka.tls.key_file", "is required together with kafka.tls.cert_file")
		}
	}
	if t := c.Kafka.TLS; !t.Enabled && (t.CAFile != "" || t.CertFile != "") {
		check("kafka.tls.enabled", "want true where other keys of kafka.tls are set")
	}
	l.checkSASL(c, check)
	topics := []string{c.Kafka.Topic, c.Kafka.DeadLetterTopic, c.Kafka.StateTopic}
	if c.Kafka.Topic != "" && (topics[1] == topics[0] || topics[1] == topics[2]) {
		check("kafka.dead_letter_topic", "want a topic other than the source and the state topic")
	}
	if c.Kafka.Topic != "" && topics[2] == topics[0] {
		check("kafka.state_topic", "want a topic other than the source topic")
	}
	if strings.HasPrefix(c.API.Endpoint, "http://") && c.API.Credentials != "none" && !loopbackURL(c.API.Endpoint) {
		check("api.endpoint", "credentials are not sent over plain http, except to a loopback address: want https, or api.credentials: none")
	}
}

func (l *loader) checkSASL(c *Config, check func(path, want string)) {
	s := c.Kafka.SASL
	switch s.Mechanism {
	case "":
		if s.Username != "" || s.PasswordFile != "" || s.Password != "" {
			check("kafka.sasl.mechanism", "is required where other keys of kafka.sasl are set")
		}
	case "oauthbearer":
	default:
		if s.Username == "" {
			check("kafka.sasl.username", "is required for "+s.Mechanism)
		}
		if s.Password == "" && s.PasswordFile == "" {
			check("kafka.sasl.password_file", "is required for "+s.Mechanism+" (or CLIENTEVENTS_KAFKA_SASL_PASSWORD)")
		}
	}
	if s.Password == "" && s.PasswordFile != "" {
		if data, err := os.ReadFile(s.PasswordFile); err == nil {
			c.Kafka.SASL.Password = Secret(strings.TrimRight(string(data), "\r\n"))
		}
	}
}
