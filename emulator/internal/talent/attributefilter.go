package talent

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// attributeMatch says whether a job's customAttributes are as wanted.
type attributeMatch func(attributes Object) bool

// The bounds of a customAttributeFilter: "Boolean expressions (AND/OR/NOT) are
// supported up to 3 levels of nesting …, a maximum of 100 comparisons or
// functions are allowed in the expression. The expression must be < 10000 bytes
// in length".
const (
	maxFilterNesting     = 3
	maxFilterComparisons = 100
	maxFilterBytes       = 10000
)

// parseAttributeFilter reads "a subset of SQL syntax. Supported operators are:
// =, !=, <, <=, >, and >= where the left of the operator is a custom field key
// and the right of the operator is a number or a quoted string. … Supported
// functions are LOWER([field_name]) to perform a case insensitive match and
// EMPTY([field_name]) to filter on the existence of a key." Only filterable
// attributes are looked at.
func parseAttributeFilter(s string) (attributeMatch, error) {
	if len(s) >= maxFilterBytes {
		return nil, fmt.Errorf("has %d bytes, it must be shorter than %d", len(s), maxFilterBytes)
	}
	p := &filterParser{rest: s}
	match, err := p.either()
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("unexpected %q", protojson.Clip(p.rest))
	}
	if err == nil && p.comparisons > maxFilterComparisons {
		err = fmt.Errorf("has %d comparisons, at most %d are allowed", p.comparisons, maxFilterComparisons)
	}
	return match, err
}

type filterParser struct {
	rest               string
	depth, comparisons int
}

var filterToken = regexp.MustCompile(`^(?:[A-Za-z][A-Za-z0-9_]*|[<>!]=|[=<>()]|-?\d+(?:\.\d+)?)`)

// peek is the next token, "" at the end; a quoted string is its quote.
func (p *filterParser) peek() string {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if p.rest == "" {
		return ""
	}
	if token := filterToken.FindString(p.rest); token != "" {
		return token
	}
	return p.rest[:1]
}

// take takes the next token if it is the wanted one, in any case of letters.
func (p *filterParser) take(want string) bool {
	token := p.peek()
	if !strings.EqualFold(token, want) {
		return false
	}
	p.rest = p.rest[len(token):]
	return true
}

func (p *filterParser) either() (attributeMatch, error) {
	left, err := p.both()
	for err == nil && p.take("OR") {
		var right attributeMatch
		a := left
		right, err = p.both()
		left = func(o Object) bool { return a(o) || right(o) }
	}
	return left, err
}

func (p *filterParser) both() (attributeMatch, error) {
	left, err := p.negated()
	for err == nil && p.take("AND") {
		var right attributeMatch
		a := left
		right, err = p.negated()
		left = func(o Object) bool { return a(o) && right(o) }
	}
	return left, err
}

func (p *filterParser) negated() (attributeMatch, error) {
	if !p.take("NOT") {
		return p.group()
	}
	match, err := p.group()
	return func(o Object) bool { return !match(o) }, err
}

func (p *filterParser) group() (attributeMatch, error) {
	if !p.take("(") {
		return p.comparison()
	}
	if p.depth++; p.depth > maxFilterNesting {
		return nil, fmt.Errorf("is nested deeper than %d levels", maxFilterNesting)
	}
	match, err := p.either()
	p.depth--
	if err == nil && !p.take(")") {
		err = errors.New("a closing parenthesis is missing")
	}
	return match, err
}

func (p *filterParser) comparison() (attributeMatch, error) {
	p.comparisons++
	key := p.peek()
	if !keyForm.MatchString(key) {
		return nil, fmt.Errorf("want a custom attribute's key at %q", protojson.Clip(p.rest))
	}
	p.rest = p.rest[len(key):]
	function := ""
	if p.take("(") {
		function = strings.ToUpper(key)
		key = p.peek()
		p.rest = p.rest[len(key):]
		if !keyForm.MatchString(key) || !p.take(")") {
			return nil, fmt.Errorf("want %s(KEY)", function)
		}
	}
	switch function {
	case "EMPTY":
		return func(o Object) bool { return filterable(o, key) == nil }, nil
	case "", "LOWER":
		return p.operation(key, function == "LOWER")
	}
	return nil, fmt.Errorf("%s is not a function, want LOWER or EMPTY", protojson.Clip(function))
}

func (p *filterParser) operation(key string, lower bool) (attributeMatch, error) {
	operator := p.peek()
	switch operator {
	case "=", "!=", "<", "<=", ">", ">=":
		p.rest = p.rest[len(operator):]
	default:
		return nil, fmt.Errorf("want an operator (=, !=, <, <=, >, >=) at %q", protojson.Clip(p.rest))
	}
	if token := p.peek(); token == `"` || token == "'" {
		return p.stringComparison(key, operator, lower)
	}
	token := p.peek()
	number, err := strconv.ParseFloat(token, 64)
	if err != nil {
		return nil, fmt.Errorf("want a number or a quoted string at %q", protojson.Clip(p.rest))
	}
	p.rest = p.rest[len(token):]
	return func(o Object) bool {
		for _, value := range texts(filterable(o, key), "longValues") {
			if n, err := strconv.ParseFloat(value, 64); err == nil && compares(operator, n, number) {
				return true
			}
		}
		return false
	}, nil
}

func (p *filterParser) stringComparison(key, operator string, lower bool) (attributeMatch, error) {
	want, rest, err := cutQuoted(p.rest)
	if err != nil {
		return nil, err
	}
	p.rest = rest
	if operator != "=" && operator != "!=" {
		return nil, fmt.Errorf("%s compares numbers, not strings", operator)
	}
	return func(o Object) bool {
		values := texts(filterable(o, key), "stringValues")
		found := false
		for _, value := range values {
			if lower {
				value = strings.ToLower(value)
			}
			found = found || value == want
		}
		if operator == "=" {
			return found
		}
		return len(values) > 0 && !found // as in SQL, what is missing is not unequal
	}, nil
}

// filterable is an attribute that may be filtered by, nil if it is none or not
// there.
func filterable(attributes Object, key string) Object {
	attribute, _ := attributes[key].(Object)
	if attribute["filterable"] != true {
		return nil
	}
	return attribute
}

func compares(operator string, a, b float64) bool {
	switch operator {
	case "=":
		return a == b
	case "!=":
		return a != b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	}
	return a >= b
}
