package talent

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// attributeMatch reports whether a job's customAttributes match.
type attributeMatch func(attributes Object) bool

// condition is a part of a filter.
type condition struct {
	match attributeMatch
	// levels is the depth of its nested boolean operators.
	levels int
}

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
// EMPTY([field_name]) to filter on the existence of a key." It ignores
// attributes that are not filterable.
func parseAttributeFilter(s string) (attributeMatch, error) {
	if len(s) >= maxFilterBytes {
		return nil, fmt.Errorf("has %d bytes, it must be shorter than %d", len(s), maxFilterBytes)
	}
	p := &filterParser{scanner: scanner{filterToken, s}}
	whole, err := p.either()
	switch {
	case err != nil:
	case p.peek() != "":
		err = fmt.Errorf("unexpected %q", protojson.Clip(p.rest))
	case whole.levels > maxFilterNesting:
		err = errTooNested
	case p.comparisons > maxFilterComparisons:
		err = fmt.Errorf("has %d comparisons, at most %d are allowed", p.comparisons, maxFilterComparisons)
	}
	return whole.match, err
}

var errTooNested = fmt.Errorf("is nested deeper than %d levels", maxFilterNesting)

type filterParser struct {
	scanner
	depth, comparisons int
}

var filterToken = regexp.MustCompile(`^(?:[A-Za-z][A-Za-z0-9_]*|[<>!]=|[=<>()]|-?\d+(?:\.\d+)?)`)

func (p *filterParser) either() (condition, error) {
	return p.chain("OR", p.both, func(all []condition) attributeMatch {
		return func(o Object) bool { return slices.ContainsFunc(all, func(c condition) bool { return c.match(o) }) }
	})
}

func (p *filterParser) both() (condition, error) {
	return p.chain("AND", p.negated, func(all []condition) attributeMatch {
		return func(o Object) bool { return !slices.ContainsFunc(all, func(c condition) bool { return !c.match(o) }) }
	})
}

// chain reads conditions with the operator between them.
func (p *filterParser) chain(operator string, next func() (condition, error), join func([]condition) attributeMatch) (condition, error) {
	first, err := next()
	all := []condition{first}
	for err == nil && p.take(operator) {
		var another condition
		another, err = next()
		all = append(all, another)
	}
	if len(all) == 1 || err != nil {
		return first, err
	}
	levels := 0
	for _, c := range all {
		levels = max(levels, c.levels)
	}
	return condition{join(all), levels + 1}, nil
}

func (p *filterParser) negated() (condition, error) {
	if !p.take("NOT") {
		return p.group()
	}
	c, err := p.group()
	return condition{func(o Object) bool { return !c.match(o) }, c.levels + 1}, err
}

func (p *filterParser) group() (condition, error) {
	if !p.take("(") {
		match, err := p.comparison()
		return condition{match: match}, err
	}
	if p.depth++; p.depth > maxFilterNesting {
		return condition{}, errTooNested
	}
	c, err := p.either()
	p.depth--
	if err == nil && !p.take(")") {
		err = errors.New("a closing parenthesis is missing")
	}
	return c, err
}

func (p *filterParser) comparison() (attributeMatch, error) {
	p.comparisons++
	key := p.peek()
	if !keyForm.MatchString(key) {
		return nil, fmt.Errorf("expected a custom attribute's key at %q", protojson.Clip(p.rest))
	}
	p.rest = p.rest[len(key):]
	function := ""
	if p.take("(") {
		function = strings.ToUpper(key)
		key = p.next()
		if !keyForm.MatchString(key) || !p.take(")") {
			return nil, fmt.Errorf("expected %s(KEY)", function)
		}
	}
	switch function {
	case "EMPTY":
		return func(o Object) bool { return filterable(o, key) == nil }, nil
	case "", "LOWER":
		return p.operation(key, function == "LOWER")
	}
	return nil, fmt.Errorf("%s is not a function, expected LOWER or EMPTY", protojson.Clip(function))
}

func (p *filterParser) operation(key string, lower bool) (attributeMatch, error) {
	operator := p.peek()
	switch operator {
	case "=", "!=", "<", "<=", ">", ">=":
		p.rest = p.rest[len(operator):]
	default:
		return nil, fmt.Errorf("expected an operator (=, !=, <, <=, >, >=) at %q", protojson.Clip(p.rest))
	}
	if token := p.peek(); token == `"` || token == "'" {
		return p.stringComparison(key, operator, lower)
	}
	token := p.peek()
	number, err := strconv.ParseFloat(token, 64)
	if err != nil {
		return nil, fmt.Errorf("expected a number or a quoted string at %q", protojson.Clip(p.rest))
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
		return len(values) > 0 && !found // as in SQL, no comparison is true for a missing value
	}, nil
}

// filterable returns a filterable attribute, nil if the job does not have it.
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
