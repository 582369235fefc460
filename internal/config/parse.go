package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// parse reads the values from a file's text. It reads the tree of nodes and not
// into a struct, because only the nodes have positions in the file.
func (l *loader) parse(data []byte) {
	if bytes.HasPrefix(data, []byte("\xFF\xFE")) || bytes.HasPrefix(data, []byte("\xFE\xFF")) {
		l.syntaxFault("UTF-16: save the file as UTF-8", 0, 0)
		return
	}
	if at := invalidUTF8(data); at >= 0 {
		line := 1 + bytes.Count(data[:at], []byte("\n"))
		column := at - bytes.LastIndexByte(data[:at], '\n')
		l.syntaxFault("not UTF-8", line, column)
		return
	}
	in, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		l.syntaxFault(err.Error(), 0, 0)
		return
	}
	for n := 0; ; n++ {
		var doc yaml.Node
		err := in.Load(&doc)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			l.loadFault(err)
			return
		case n > 0:
			l.syntaxFault("a second document begins: expected one", doc.Line, doc.Column)
			return
		}
		if len(doc.Content) > 0 {
			l.section("", doc.Content[0])
		}
	}
}

// invalidUTF8 returns the position of the first byte that is not part of a character,
// or -1.
func invalidUTF8(data []byte) int {
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// loadFault turns the parser's error into one line.
func (l *loader) loadFault(err error) {
	if at, ok := errors.AsType[*yaml.LoadError](err); ok {
		l.syntaxFault("not YAML: "+at.Message, at.Mark.Line, at.Mark.Column)
		return
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	l.syntaxFault("not YAML: "+message, 0, 0)
}

// syntaxFault stops reading the file: the rest is unknown.
func (l *loader) syntaxFault(want string, line, column int) {
	l.broken = true
	v := value{where: l.path}
	if line > 0 {
		v = l.position(line, column)
	}
	l.faultAt("", v, want)
}

func (l *loader) position(line, column int) value {
	return value{where: fmt.Sprintf("%s:%d:%d", l.path, line, column), line: line, column: column}
}

func (l *loader) at(n *yaml.Node) value { return l.position(n.Line, n.Column) }

// resolve follows an alias to its node.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// section reads a mapping whose keys are below path.
func (l *loader) section(path string, n *yaml.Node) {
	at := l.at(n)
	n = resolve(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		l.faultAt(path, at, "expected keys with values, such as those of the example configuration")
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		if name.Kind != yaml.ScalarNode {
			l.faultAt(path, l.at(name), "expected the name of a key")
			continue
		}
		full := strings.TrimPrefix(path+"."+name.Value, ".")
		if line, twice := first[full]; twice {
			l.faultAt(full, l.at(name), fmt.Sprintf("stands twice, first in line %d: expected it once", line))
			continue
		}
		first[full] = name.Line
		l.member(full, name, n.Content[i+1])
	}
}

func (l *loader) member(full string, name, n *yaml.Node) {
	k := l.key(full)
	switch {
	case name.ShortTag() == "!!merge":
		l.faultAt(full, l.at(name), "merging is not supported: expected the keys themselves")
	case strings.Contains(name.Value, "."), k == nil && !l.isSection(full):
		l.faultAt(full, l.at(name), "unknown key"+l.suggest(full))
	case k == nil:
		l.section(full, n)
	case k.secret:
		l.faultAt(full, l.at(name), "is a secret, which does not stand in a file like this one: expected environment variable "+k.Env()+", or "+full+"_file")
	default:
		l.value(k, n)
	}
}

// value reads a scalar, or a list of scalars if the key is a list.
func (l *loader) value(k *Key, n *yaml.Node) {
	at := l.at(n)
	n = resolve(n)
	if isNull(n) {
		return
	}
	if k.pairs && n.Kind == yaml.MappingNode {
		l.namedValues(k, n, at)
		return
	}
	if k.list && n.Kind == yaml.SequenceNode {
		g := given{at: at}
		for _, element := range n.Content {
			if v, ok := l.scalar(k, element); ok {
				g.values = append(g.values, v)
			}
		}
		if len(g.values) == len(n.Content) { // otherwise the faults suffice
			l.given[k.Path] = g
		}
		return
	}
	if v, ok := l.scalar(k, n); ok {
		v.where, v.line, v.column = at.where, at.line, at.column
		l.given[k.Path] = k.split(v.text, v)
	}
}

// namedValues reads a mapping as a list of name=value.
func (l *loader) namedValues(k *Key, n *yaml.Node, at value) {
	g := given{at: at}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v, ok := l.scalar(k, n.Content[i+1]); ok {
			v.text = n.Content[i].Value + "=" + v.text
			g.values = append(g.values, v)
		}
	}
	if 2*len(g.values) == len(n.Content) { // otherwise the faults suffice
		l.given[k.Path] = g
	}
}

// scalar reads a node that must be one value.
func (l *loader) scalar(k *Key, n *yaml.Node) (value, bool) {
	v := l.at(n)
	n = resolve(n)
	switch n.Kind {
	case yaml.ScalarNode:
		if tag := n.ShortTag(); !strings.HasPrefix(tag, "!!") || tag == "!!binary" {
			l.faultAt(k.Path, v, "expected a plain value: the tag "+tag+" has no meaning here")
			return v, false
		}
		v.text = n.Value
		return v, true
	case yaml.SequenceNode:
		l.faultAt(k.Path, v, "expected "+k.Type+", not a list")
	default:
		l.faultAt(k.Path, v, "expected "+k.Type+", not keys with values")
	}
	return v, false
}
