package input

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/itchyny/gojq"
)

// maxOutput is how many bytes one output may have as JSON. It is more than an
// event can have, and less than a request may.
const maxOutput = 1 << 20

// failure is why a program gave no events for a record.
type failure struct {
	// text is one line. It holds words of the program and of the language, and
	// nothing of the record: that may be personal.
	text string
}

func (e *failure) Error() string { return e.text }

// apply runs the program over a record's value and returns its outputs as JSON.
func (p *Program) apply(value any, vars []any) ([][]byte, *failure) {
	outputs, err := p.runOnce(p.code, newRun(maxSteps), value, vars)
	if err == nil {
		return outputs, nil
	}
	if wrong, ok := errors.AsType[*failure](err); ok {
		return nil, wrong
	}
	text := p.describe(err)
	if part, ok := p.trace(value, vars); ok {
		text = part + ": " + text
	}
	return nil, &failure{text}
}

// runOnce runs code of the program to its end.
func (p *Program) runOnce(code *gojq.Code, r *run, value any, vars []any) (outputs [][]byte, err error) {
	defer r.end()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the interpreter failed (%T)", v)
		}
	}()
	values := make([]any, 0, len(variables))
	iter := code.RunWithContext(r, value, append(append(values, vars...), r)...)
	for {
		v, ok := iter.Next()
		if r.err != nil {
			return nil, r.err
		}
		if !ok {
			return outputs, nil
		}
		if err, ok := v.(error); ok {
			return nil, err
		}
		if len(outputs) == maxOutputs {
			return nil, &failure{fmt.Sprintf("the program returned more than %d events", maxOutputs)}
		}
		encoded, err := encode(v, len(outputs)+1)
		if err != nil {
			return nil, err
		}
		if err := r.charge(len(encoded)); err != nil {
			return nil, err
		}
		outputs = append(outputs, encoded)
	}
}

// encode writes an output as JSON. Numbers keep their digits.
func encode(v any, n int) ([]byte, error) {
	if _, ok := v.(map[string]any); !ok {
		return nil, &failure{fmt.Sprintf("output %d is %s: an event is an object", n, article(gojq.TypeOf(v)))}
	}
	w, err := weigh(v)
	if err != nil {
		return nil, &failure{fmt.Sprintf("output %d: %v", n, err)}
	}
	if w.bytes+w.nodes > maxOutput {
		return nil, &failure{fmt.Sprintf("output %d has more than %d bytes", n, maxOutput)}
	}
	return gojq.Marshal(v)
}

func article(typ string) string {
	switch typ {
	case "null":
		return typ
	case "array":
		return "an array"
	}
	return "a " + typ
}

// traceSteps is how many steps are repeated to find the place of a failure.
const traceSteps = maxSteps / 10

// trace finds the part of the program that failed, by running it again so that it
// keeps its place. Programs have no side effects, and give the same each time.
func (p *Program) trace(value any, vars []any) (string, bool) {
	traced, err := p.traced()
	if err != nil {
		return "", false
	}
	r := newRun(traceSteps)
	_, err = p.runOnce(traced.code, r, value, vars)
	if err == nil || r.at < 0 || r.at >= len(traced.parts) {
		return "", false
	}
	part := traced.parts[r.at]
	offset, ok := find(p.source, part)
	if !ok {
		return "", false
	}
	line, column := position(p.source, offset)
	return fmt.Sprintf("line %d, column %d, %s", line, column, shorten(part)), true
}

// shorten makes one line of a part of a program.
func shorten(part string) string {
	const most = 60
	line := strings.Join(strings.Fields(part), " ")
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}

// describe is an error's text without anything of the record: of the interpreter's
// messages, the words that are its own or the program's.
func (p *Program) describe(err error) string {
	var own *failure
	if errors.As(err, &own) || isLimit(err) {
		return err.Error()
	}
	if halted, ok := errors.AsType[*gojq.HaltError](err); ok {
		return fmt.Sprintf("the program ended itself (%d)", halted.ExitCode())
	}
	var b strings.Builder
	for _, token := range tokens(strings.TrimPrefix(err.Error(), "error: ")) {
		if isWord(token) && !p.words[token] && !messageWords[token] {
			token = hidden
		}
		b.WriteString(token)
	}
	shown := manyHidden.ReplaceAllString(b.String(), hidden)
	const most = 300
	line := strings.Join(strings.Fields(shown), " ")
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}

// hidden stands for what an error's text does not show.
const hidden = "…"

var manyHidden = regexp.MustCompile(`…[^\pL\pN:]*…`)

func isWord(token string) bool {
	r, _ := utf8.DecodeRuneInString(token)
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_'
}

func isLimit(err error) bool {
	for _, limit := range []error{errTime, errSteps, errMemory, errNodes, errDepth, errText, errSearch, errPairs, errIndex, errDigits, errBrackets, errFormat} {
		if errors.Is(err, limit) {
			return true
		}
	}
	return false
}

// wordsOf are the words of a text.
func wordsOf(text string) map[string]bool {
	words := map[string]bool{}
	for _, token := range tokens(text) {
		words[token] = true
	}
	return words
}

// tokens splits a text into words and the single characters between them.
func tokens(text string) []string {
	var all []string
	start := -1
	for i, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			all = append(all, text[start:i])
			start = -1
		}
		all = append(all, string(r))
	}
	if start >= 0 {
		all = append(all, text[start:])
	}
	return all
}

// messageWords are the words of the interpreter's messages (gojq's error.go and
// func.go) and of this package's functions.
var messageWords = wordsOf(`cannot be applied to: add subtract multiply divide modulo negate plus by and
iterate over expected an object array but got: null string number boolean index should not be negative too large
repeat result for key indexing a start end slicing length mismatch flatten depth of numbers seconds is out range
invalid path against on iterating json format not defined row including with unsupported regular expression flag
tonumber tostring toboolean fromjson tojson keys has contains split join test match startswith endswith ltrimstr rtrimstr
explode implode error strptime strftime mktime event_id from_epoch_seconds from_epoch_millis since 1970 milliseconds empty sort unique
min max or group_by sort_by unique_by min_by max_by doesn t support count limit skip nth setpath getpath delpaths`)
