package input

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/itchyny/gojq"
)

// maxProgram is how many bytes a program may have.
const maxProgram = 64 << 10

// variables are the names that a program may use, in the order of their values.
var variables = []string{"$key", "$headers", "$topic", "$partition", "$offset", "$timestamp", "$schema", runName}

// Program is a compiled mapping. It may be used by several goroutines at a time.
type Program struct {
	source string
	code   *gojq.Code
	// words are those of the program itself: an error's text may show them.
	words map[string]bool
	// traced compiles the program once more, so that it keeps its place; only a program
	// that fails needs that.
	traced func() (tracedCode, error)
}

// tracedCode is a program that keeps the number of the part that is being run.
type tracedCode struct {
	code  *gojq.Code
	parts []string // by their numbers
}

// SyntaxError is an error in a program.
type SyntaxError struct {
	Line, Column int // from 1; 0 where it is the program's as a whole
	Text         string
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

// Compile compiles a mapping. The error is a [*SyntaxError].
func Compile(source string) (*Program, error) {
	if len(source) > maxProgram {
		return nil, &SyntaxError{Text: fmt.Sprintf("the program has %d bytes: at most %d are allowed", len(source), maxProgram)}
	}
	code, _, err := compile(source, false)
	if err != nil {
		return nil, err
	}
	return &Program{
		source: source, code: code, words: wordsOf(source),
		traced: sync.OnceValues(func() (tracedCode, error) {
			code, parts, err := compile(source, true)
			return tracedCode{code, parts}, err
		}),
	}, nil
}

// compile compiles a program; with traced, so that it keeps the number of the part
// that is being run, whose text is in parts.
func compile(source string, traced bool) (code *gojq.Code, parts []string, err error) {
	q, err := gojq.Parse(source)
	if err != nil {
		return nil, nil, parseError(source, err)
	}
	w := &rewriter{traced: traced, own: map[string]bool{}, parts: []string{"."}}
	w.define(q)
	w.query(q)
	if w.err != nil {
		return nil, nil, placed(source, w.err.text, w.err.Error())
	}
	defs, err := preludeDefs()
	if err != nil {
		return nil, nil, err
	}
	q.FuncDefs = append(defs, q.FuncDefs...)
	code, err = gojq.Compile(q, options()...)
	if err != nil {
		return nil, nil, compileError(source, err)
	}
	return code, w.parts, nil
}

func preludeDefs() ([]*gojq.FuncDef, error) {
	q, err := gojq.Parse(prelude)
	if err != nil {
		return nil, fmt.Errorf("the prelude: %w", err)
	}
	w := &rewriter{trusted: true, own: map[string]bool{}}
	w.define(q)
	w.query(q)
	return q.FuncDefs, nil
}

func options() []gojq.CompilerOption {
	all := []gojq.CompilerOption{
		gojq.WithVariables(variables),
		gojq.WithFunction("event_id", 1, 30, eventID),
		gojq.WithFunction("from_epoch_seconds", 0, 0, fromEpoch("from_epoch_seconds", 1)),
		gojq.WithFunction("from_epoch_millis", 0, 0, fromEpoch("from_epoch_millis", 1000)),
		gojq.WithFunction("_at", 2, 2, func(x any, args []any) any {
			args[0].(*run).at = args[1].(int)
			return x
		}),
	}
	for name, check := range checks {
		all = append(all, gojq.WithFunction(name, 1, 3, func(x any, args []any) any {
			r := args[0].(*run)
			if err := check(r, x, args[1:]); err != nil {
				r.err = err // a program must not catch it
				return err
			}
			return x
		}))
	}
	return all
}

// parseError places what the parser found.
func parseError(source string, err error) *SyntaxError {
	parse, ok := errors.AsType[*gojq.ParseError](err)
	if !ok {
		return &SyntaxError{Text: err.Error()}
	}
	offset := min(max(0, parse.Offset-len(parse.Token)), len(source))
	line, column := position(source, offset)
	return &SyntaxError{Line: line, Column: column, Text: err.Error()}
}

// compileError places what the compiler found, which names what it could not find
// but no place.
func compileError(source string, err error) *SyntaxError {
	text := err.Error()
	_, name, _ := strings.Cut(text, ": ")
	name, _, _ = strings.Cut(name, "/")
	return placed(source, name, text)
}

// placed is an error at the first place where text stands in the program.
func placed(source, text, message string) *SyntaxError {
	e := &SyntaxError{Text: message}
	if offset, ok := find(source, text); ok {
		e.Line, e.Column = position(source, offset)
	}
	return e
}

// position is the line and the column of an offset, both from 1; a column is a
// character.
func position(source string, offset int) (line, column int) {
	before := source[:offset]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
}

// find finds the place where a part of a program, as the parser spells it, begins in
// the program as it was written: with other spaces, and comments.
func find(source, text string) (int, bool) {
	squeezed, offsets := squeeze(source)
	want, _ := squeeze(text)
	if want == "" {
		return 0, false
	}
	for from := 0; ; {
		at := strings.Index(squeezed[from:], want)
		if at < 0 {
			return 0, false
		}
		at += from
		if isWhole(squeezed, at, at+len(want)) {
			return offsets[at], true
		}
		from = at + 1
	}
}

// isWhole reports whether text[from:to] neither begins nor ends within a name, and is
// no name that is being defined.
func isWhole(text string, from, to int) bool {
	return !(isName(text[from]) && from > 0 && isName(text[from-1])) &&
		!(isName(text[to-1]) && to < len(text) && isName(text[to])) &&
		!strings.HasSuffix(text[:from], "def ")
}

func isName(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// squeeze leaves out comments, and the spaces that are not between two names, and
// says where each byte stood.
func squeeze(source string) (string, []int) {
	var b strings.Builder
	var offsets []int
	quoted := 0 // how many strings are open, one inside the other
	var parens []int
	spaced := false
	for i := 0; i < len(source); i++ {
		c := source[i]
		inText := len(parens) < quoted
		switch {
		case inText && c == '\\' && i+1 < len(source):
			b.WriteByte(c)
			offsets = append(offsets, i)
			i++
			c = source[i]
			if c == '(' {
				parens = append(parens, 0)
			}
		case inText && c == '"':
			quoted--
		case inText:
		case c == '"':
			quoted++
		case c == '#':
			for i+1 < len(source) && source[i+1] != '\n' {
				i++
			}
			continue
		case c == '(' && len(parens) > 0:
			parens[len(parens)-1]++
		case c == ')' && len(parens) > 0:
			if parens[len(parens)-1]--; parens[len(parens)-1] < 0 {
				parens = parens[:len(parens)-1]
			}
		}
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			spaced = true
			continue
		}
		if n := len(offsets); spaced && n > 0 && isName(c) && isName(source[offsets[n-1]]) {
			b.WriteByte(' ')
			offsets = append(offsets, i)
		}
		spaced = false
		b.WriteByte(c)
		offsets = append(offsets, i)
	}
	return b.String(), offsets
}
