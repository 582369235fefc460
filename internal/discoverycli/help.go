package discoverycli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/clientevents/clientevents/internal/discovery"
)

const helpWidth = 100

// help returns the help text for the parser's current command.
func (ps *parser) help() string {
	var b strings.Builder
	b.WriteString(ps.program.versionLine() + "\n")
	switch {
	case ps.in.command != nil:
		ps.commandHelp(&b)
	case ps.in.group != nil:
		ps.groupHelp(&b)
	default:
		ps.programHelp(&b)
	}
	return b.String()
}

func (ps *parser) programHelp(b *strings.Builder) {
	paragraph(b, "", ps.program.API.Description)
	section(b, ps.usage())
	writeOptions(b, "OPTIONS:", globalOptions)
	section(b, "SUBCOMMANDS:")
	for _, g := range ps.groups {
		names := make([]string, len(g.commands))
		for i, c := range g.commands {
			names[i] = c.name
		}
		entry(b, g.name, "methods: "+strings.Join(names, ", "))
	}
	entry(b, "help", "Prints this message or the help of the given subcommand(s)")
}

func (ps *parser) groupHelp(b *strings.Builder) {
	section(b, ps.usage())
	section(b, "SUBCOMMANDS:")
	for _, c := range ps.in.group.commands {
		entry(b, c.name, firstSentence(c.method.Description))
	}
	entry(b, "help", "Prints this message or the help of the given subcommand(s)")
	writeOptions(b, "OPTIONS:", globalOptions)
}

func (ps *parser) commandHelp(b *strings.Builder) {
	c, api := ps.in.command, ps.program.API
	paragraph(b, "", c.method.Description)
	section(b, ps.usage())
	section(b, "ARGS:")
	for _, arg := range c.args {
		entry(b, "<"+arg.typed+">", arg.form()+": "+arg.schema.Description)
	}
	writeOptions(b, "OPTIONS:", c.options())
	writeOptions(b, "GLOBAL OPTIONS:", globalOptions)
	section(b, "SCOPES (any one of them; the first is the default):")
	for _, s := range c.method.Scopes {
		b.WriteString("    " + s + "\n")
	}
	if c.method.Request != nil {
		requestHelp(b, api, api.Resolve(c.method.Request))
	}
	section(b, "PARAMETERS (-p):")
	for _, p := range c.params {
		entry(b, p.typed+"="+typeName(p.schema), p.schema.Description)
	}
}

const cursorHelp = `The cursor is where the fields that are set are looked for; at first it is the request itself.
  name         moves it down into a structure; names can be nested, as in a.b.c
  .name        moves it to a structure counted from the top; a lone . is the top
  ..           moves it one level up; ... goes three levels up, each further dot one more
  name=value   sets a field there; the cursor stays where it is
Lists: each name=value appends. Lists of structures: name.0.field=value, name.1.field=value, or name={JSON}.
Maps: name=key=value. Maps of structures: name.key.field=value, or name=key={JSON}.`

func requestHelp(b *strings.Builder, api *discovery.API, s *discovery.Schema) {
	section(b, "REQUEST VALUE (-r):")
	for line := range strings.Lines(requestStructure(api, s)) {
		b.WriteString("    " + line)
	}
	section(b, "CURSOR:")
	for line := range strings.Lines(cursorHelp) {
		b.WriteString("    " + line)
	}
	b.WriteString("\n")
	section(b, "FIELDS:")
	walkFields(api, s, func(path []string, field *discovery.Schema) {
		text := field.Description
		if len(field.Enum) > 0 {
			text += " One of: " + strings.Join(field.Enum, ", ")
		}
		if field.Type == "array" && api.Resolve(field.Items) != nil && len(api.Resolve(field.Items).Enum) > 0 {
			text += " Each one of: " + strings.Join(api.Resolve(field.Items).Enum, ", ")
		}
		entry(b, strings.Join(path, "."), text)
	})
}

// requestStructure shows a request's fields as an indented outline.
func requestStructure(api *discovery.API, s *discovery.Schema) string {
	var b strings.Builder
	b.WriteString(s.ID + ":\n")
	outline(&b, api, s, "  ", map[*discovery.Schema]bool{})
	return b.String()
}

// outline writes the fields of a structure. It only names a structure that contains
// itself.
func outline(b *strings.Builder, api *discovery.API, s *discovery.Schema, indent string, inside map[*discovery.Schema]bool) {
	if inside[s] {
		return
	}
	inside[s] = true
	defer delete(inside, s)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		field := api.Resolve(s.Properties[name])
		label, of := kebab(name), field
		switch kindOf(field) {
		case list:
			if of = elements(api, field); kindOf(of) != structure {
				fmt.Fprintf(b, "%s%s: [%s]\n", indent, label, typeName(of))
				continue
			}
			label += ".<n>"
		case mapping:
			if of = elements(api, field); kindOf(of) != structure {
				fmt.Fprintf(b, "%s%s: { string: %s }\n", indent, label, typeName(of))
				continue
			}
			label += ".<key>"
		case structure:
		default:
			fmt.Fprintf(b, "%s%s: %s\n", indent, label, typeName(of))
			continue
		}
		fmt.Fprintf(b, "%s%s:\n", indent, label)
		outline(b, api, of, indent+"  ", inside)
	}
}

// typeName returns the help text's name of a scalar type.
func typeName(s *discovery.Schema) string {
	if isInteger(s) {
		return "integer"
	}
	return s.Type
}

// walkFields visits every field of a structure and of the structures in it.
func walkFields(api *discovery.API, s *discovery.Schema, visit func(path []string, field *discovery.Schema)) {
	inside := map[*discovery.Schema]bool{}
	var walk func([]string, *discovery.Schema)
	walk = func(path []string, s *discovery.Schema) {
		if inside[s] {
			return
		}
		inside[s] = true
		defer delete(inside, s)
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			at := append(slices.Clone(path), kebab(name))
			field := api.Resolve(s.Properties[name])
			// A reference has its own description: the structure's role in this
			// place.
			if d := s.Properties[name].Description; d != "" && d != field.Description {
				described := *field
				described.Description = d
				visit(at, &described)
			} else {
				visit(at, field)
			}
			switch kindOf(field) {
			case list:
				walk(append(at, "<n>"), elements(api, field))
			case mapping:
				walk(append(at, "<key>"), elements(api, field))
			case structure:
				walk(at, field)
			}
		}
	}
	walk(nil, s)
}

func section(b *strings.Builder, title string) { b.WriteString("\n" + title + "\n") }

func writeOptions(b *strings.Builder, title string, options []*option) {
	section(b, title)
	for _, o := range options {
		entry(b, o.String(), o.help)
	}
}

func entry(b *strings.Builder, name, text string) {
	b.WriteString("    " + name + "\n")
	paragraph(b, "            ", text)
}

// paragraph writes text in lines of at most helpWidth characters.
func paragraph(b *strings.Builder, indent, text string) {
	used := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case used == 0:
			b.WriteString(indent)
			used = len(indent)
		case used+1+len(word) > helpWidth:
			b.WriteString("\n" + indent)
			used = len(indent)
		default:
			b.WriteString(" ")
			used++
		}
		b.WriteString(word)
		used += len(word)
	}
	if used > 0 {
		b.WriteString("\n")
	}
}

func firstSentence(text string) string {
	if first, _, more := strings.Cut(text, ". "); more {
		return first + "."
	}
	return text
}
