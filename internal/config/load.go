package config

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/clientevents/clientevents/internal/oneline"
)

// Fault is an error in a configuration.
type Fault struct {
	// Key is the full path of the key; "" for the whole file.
	Key string
	// Value is the value as written; "" if there is none, or if it
	// may be a secret.
	Value string
	// Want describes the expected value.
	Want string
	// Where is the file, line and column, or the environment variable.
	Where string

	line, column int
}

// longestValue is the number of bytes of a value that a fault shows.
const longestValue = 80

// Error is the fault in one line.
func (f Fault) Error() string {
	var b strings.Builder
	if f.Key != "" {
		b.WriteString(oneline.Of(f.Key) + ": ")
	}
	switch {
	case len(f.Value) > longestValue:
		fmt.Fprintf(&b, "%q…: ", strings.ToValidUTF8(f.Value[:longestValue], ""))
	case f.Value != "":
		fmt.Fprintf(&b, "%q: ", f.Value)
	}
	b.WriteString(oneline.Of(f.Want))
	if f.Where != "" {
		b.WriteString(" (" + oneline.Of(f.Where) + ")")
	}
	return b.String()
}

// Faults are all errors in a configuration, one line each:
// first those in the file, from top to bottom.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Load reads the configuration from a file and the environment variables that
// override it. path may be "" for no file. A key without a value, and an empty
// variable, count as missing. Values are not expanded:
// ${NAME} is literal. Paths are relative to the working directory.
//
// The error is of type [Faults] and has all faults, except for a file that
// is not YAML, for which it has only the first.
func Load(path string, environ []string) (*Config, error) {
	if path == "" {
		return load(path, nil, environ)
	}
	data, err := readFile(path)
	if err != nil {
		l := newLoader(path)
		l.broken = true
		l.fault(Fault{Want: "can't read the configuration: " + err.Error(), Where: path})
		return l.finish(environ)
	}
	return load(path, data, environ)
}

func load(path string, data []byte, environ []string) (*Config, error) {
	l := newLoader(path)
	l.parse(data)
	return l.finish(environ)
}

// largestFile is more than any configuration, and than any secret, needs.
const largestFile = 256 << 10

// readFile reads a file that is not huge. The error is without the path.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if len(data) > largestFile {
		return nil, fmt.Errorf("it has more than %d bytes", largestFile)
	}
	return data, nil
}

// value is a value as written, with its place.
type value struct {
	text         string
	where        string
	line, column int
}

// given are the values of a key: one, or those of a list.
type given struct {
	values []value
	at     value // of the whole, without a text
}

type loader struct {
	path   string
	keys   []Key
	given  map[string]given
	broken bool // the file could not be read, so that nothing can be missing
	faults Faults

	warnings []string
}

func newLoader(path string) *loader {
	return &loader{path: path, keys: Keys(), given: map[string]given{}}
}

// finish returns the configuration or its faults.
func (l *loader) finish(environ []string) (*Config, error) {
	l.readEnviron(environ)
	c := l.apply()
	l.settle(c)
	l.checkTogether(c)
	c.Warnings = l.warnings
	if len(l.faults) == 0 {
		return c, nil
	}
	slices.SortStableFunc(l.faults, l.compare)
	return nil, l.faults
}

// compare puts faults of the file first, in its order, and then the others in
// the order in which the keys are documented.
func (l *loader) compare(a, b Fault) int {
	switch {
	case a.line > 0 && b.line > 0:
		if a.line != b.line {
			return a.line - b.line
		}
		return a.column - b.column
	case a.line > 0:
		return -1
	case b.line > 0:
		return 1
	}
	return l.index(a.Key) - l.index(b.Key)
}

func (l *loader) index(path string) int {
	return slices.IndexFunc(l.keys, func(k Key) bool { return k.Path == path })
}

func (l *loader) fault(f Fault) { l.faults = append(l.faults, f) }

// faultAt adds a fault of a value; it shows path's value unless it is a secret.
func (l *loader) faultAt(path string, v value, want string) {
	if k := l.key(path); k != nil && k.secret {
		v.text = ""
	}
	l.fault(Fault{Key: path, Value: withoutLogin(v.text), Want: want, Where: v.where, line: v.line, column: v.column})
}

// withoutLogin hides a password in a URL.
func withoutLogin(text string) string {
	if !strings.Contains(text, "@") || !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

func (l *loader) key(path string) *Key {
	if i := l.index(path); i >= 0 {
		return &l.keys[i]
	}
	return nil
}

// isSection reports whether there are keys below path.
func (l *loader) isSection(path string) bool {
	return slices.ContainsFunc(l.keys, func(k Key) bool { return strings.HasPrefix(k.Path, path+".") })
}

const (
	envPrefix = "CLIENTEVENTS_"
	// variable begins the place of a value from the environment.
	variable = "environment variable "
)

func (l *loader) readEnviron(environ []string) {
	byEnv := map[string]*Key{}
	for i := range l.keys {
		byEnv[l.keys[i].Env()] = &l.keys[i]
	}
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || text == "" {
			continue
		}
		k := byEnv[name]
		if k == nil {
			// Not a fault: a cluster may set other variables, such as the
			// address of a service of this name.
			l.warnings = append(l.warnings, name+" is not a key's variable"+l.suggestEnv(name))
			continue
		}
		at := value{where: variable + name}
		l.given[k.Path] = k.split(text, at)
	}
}

// split splits a text into values if the key is a list.
func (k *Key) split(text string, at value) given {
	g := given{at: at}
	texts := []string{text}
	if k.list {
		texts = strings.Split(text, ",")
	}
	for _, text := range texts {
		v := at
		v.text = text
		g.values = append(g.values, v)
	}
	return g
}

// apply sets each key to its value or its default.
func (l *loader) apply() *Config {
	c := &Config{}
	for i := range l.keys {
		k := &l.keys[i]
		g, ok := l.given[k.Path]
		switch {
		case ok:
			l.set(c, k, g)
		case k.Required:
			if !l.broken && !l.faulty(k.Path) {
				l.fault(Fault{Key: k.Path, Want: "is required: " + k.Help, Where: l.placeFor(k)})
			}
		case k.Default != "" && !k.derived():
			if err := k.set(c, k.Default); err != nil {
				panic(fmt.Sprintf("the default of %s: %v", k.Path, err))
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

// placeFor describes where a missing key can be set.
func (l *loader) placeFor(k *Key) string {
	if l.path == "" {
		return "in a file that --config names, or environment variable " + k.Env()
	}
	return l.path + ", or environment variable " + k.Env()
}

func (l *loader) set(c *Config, k *Key, g given) {
	if len(g.values) == 0 && k.none != nil {
		k.none(c)
	} else if len(g.values) == 0 {
		l.faultAt(k.Path, g.at, "expected at least one")
	}
	for _, v := range g.values {
		v.text = k.trim(v.text)
		if err := k.set(c, v.text); err != nil {
			l.faultAt(k.Path, v, err.Error())
		}
	}
}

// trim removes the blanks around a value; those of a secret may be intended.
func (k *Key) trim(text string) string {
	if k.secret {
		return text
	}
	return strings.TrimSpace(text)
}

// faulty reports whether the key, or a section around it, has a fault.
func (l *loader) faulty(path string) bool {
	return slices.ContainsFunc(l.faults, func(f Fault) bool {
		return f.Key == path || strings.HasPrefix(path, f.Key+".") && f.Key != ""
	})
}
