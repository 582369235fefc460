package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/clientevents/clientevents/internal/oneline"
)

// Setting is a key of an effective configuration with the origin of its value.
type Setting struct {
	Key Key
	// Origin is the origin of the value.
	Origin Origin
	texts  []string // the value, or those of a list; none for a key without a value
}

// Origin is the origin of a key's value: a line of a file, an environment variable or,
// for the zero value, the key's default.
type Origin struct {
	File     string
	Line     int
	Variable string
}

// String describes the origin in a few words.
func (o Origin) String() string {
	switch {
	case o.Variable != "":
		return "environment variable " + o.Variable
	case o.File != "":
		return fmt.Sprintf("%s:%d", o.File, o.Line)
	}
	return "default"
}

// Settings returns the effective value and the origin of each key, in the order of
// [Keys]. It is empty for a configuration that was not loaded. It has no secrets.
func (c *Config) Settings() []Setting { return c.settings }

// settle records the effective values of c.
func (l *loader) settle(c *Config) {
	derived := map[string]string{"kafka.dead_letter_topic": c.Kafka.DeadLetterTopic, "kafka.state_topic": c.Kafka.StateTopic}
	for _, k := range l.keys {
		s := Setting{Key: k}
		g, ok := l.given[k.Path]
		switch {
		case ok:
			s.Origin = l.origin(g.at)
			if k.none != nil {
				s.texts = []string{} // an empty list is a value
			}
			for _, v := range g.values {
				if k.secret {
					v.text = hidden // a verb such as %+v shows unexported fields
				}
				s.texts = append(s.texts, k.trim(v.text))
			}
		case k.derived():
			s.texts = []string{derived[k.Path]}
		case k.Default != "":
			s.texts = []string{k.Default}
		}
		c.settings = append(c.settings, s)
	}
}

func (l *loader) origin(at value) Origin {
	if at.line > 0 {
		return Origin{File: l.path, Line: at.line}
	}
	return Origin{Variable: strings.TrimPrefix(at.where, variable)}
}

// Secret reports whether the value must not be shown.
func (s Setting) Secret() bool { return s.Key.secret }

// Value returns the value as JSON has it: a text, a number, a list or an object; nil
// for a key without a value. A secret is "(secret)".
func (s Setting) Value() any {
	switch {
	case s.texts == nil:
		return nil
	case s.Key.pairs:
		pairs := map[string]string{}
		for _, text := range s.texts {
			name, value, _ := strings.Cut(text, "=")
			pairs[name] = value
		}
		return pairs
	case s.Key.list:
		return slices.Clone(s.texts)
	}
	return s.Key.scalar(withoutLogin(s.texts[0]))
}

func (k Key) scalar(text string) any {
	switch k.Type {
	case "true or false":
		return text == "true"
	case "a whole number":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case "a number":
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	}
	return text
}

// String returns the value in one line; "" for a key without a value.
func (s Setting) String() string { return Text(s.Value()) }

// Text returns a value of [Shown] in one line; "" for none.
func Text(v any) string {
	if text, ok := v.(string); ok {
		if text != "" && (oneline.Of(text) != text || strings.Contains(text, `"`)) {
			return strconv.Quote(text)
		}
		return text
	}
	if v == nil {
		return ""
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // texts and numbers have JSON
	return strings.TrimSpace(b.String())
}

// Shown is a setting as tools and the admin port show it.
type Shown struct {
	Key string `json:"key"`
	// Value is a text, number, boolean, list or object; null for a key without a value.
	Value any `json:"value"`
	// Reload reports whether the key takes effect while the program runs.
	Reload bool `json:"reload"`
	// Origin describes File and Line, or Variable, or is "default".
	Origin   string `json:"origin"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Variable string `json:"variable,omitempty"`
}

// Show returns the settings as tools show them.
func (c *Config) Show() []Shown {
	all := []Shown{}
	for _, s := range c.settings {
		all = append(all, Shown{s.Key.Path, s.Value(), s.Key.Reload, s.Origin.String(), s.Origin.File, s.Origin.Line, s.Origin.Variable})
	}
	return all
}

// Hash names the configuration. It is the same for replicas that should do the same:
// the keys of admin and log, the instance ID and secrets have no part in it. Anyone who
// sees it could try passwords otherwise.
func (c *Config) Hash() string {
	same := *c
	same.Admin, same.Log, same.Warnings, same.Secrets, same.settings = Admin{}, Log{}, nil, nil, nil
	same.Kafka.InstanceID = ""
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", same))
	return hex.EncodeToString(sum[:4])
}

// alone returns a configuration that has the setting's value and no other, so that two
// spellings of a value are equal.
func (s Setting) alone() Config {
	c := Config{}
	if s.texts != nil && s.Key.none != nil {
		s.Key.none(&c)
	}
	for _, text := range s.texts {
		_ = s.Key.set(&c, text) // it was valid, or is missing by now, such as a file
	}
	return c
}

// Change is a key whose value differs between two configurations.
type Change struct {
	Key Key
	// Old and New are the values as a log may show them: without secrets, and not
	// longer than a line.
	Old, New string
}

// Changes lists the keys whose effective values differ between two loaded
// configurations, in the order of [Keys]. The content of input.mapping_file is part of
// its value.
func Changes(old, changed *Config) (changes []Change) {
	for i, before := range old.settings {
		after := changed.settings[i]
		c := Change{Key: before.Key, Old: shown(before), New: shown(after)}
		switch {
		case before.Key.derived() && before.Origin == (Origin{}) && after.Origin == (Origin{}):
			// It derives from another key.
		case !reflect.DeepEqual(before.alone(), after.alone()):
			changes = append(changes, c)
		case before.Key.Path == "input.mapping_file" && len(before.texts) > 0 && old.Input.Mapping != changed.Input.Mapping:
			c.Old, c.New = shortText(old.Input.Mapping), shortText(changed.Input.Mapping)
			changes = append(changes, c)
		}
	}
	return changes
}

// longestShown is the number of bytes of a value that a log shows.
const longestShown = 200

func shown(s Setting) string { return oneline.Shorten(s.String(), longestShown) }

func shortText(text string) string { return oneline.Shorten(oneline.Of(text), longestShown) }
