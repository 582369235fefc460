package talent

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// importance is the weight of a custom ranking against the relevance, by
// ImportanceLevel. The service documents only the lowest and the highest.
var importance = map[string]float64{"NONE": 0, "LOW": 0.1, "MILD": 0.25, "MEDIUM": 0.5, "HIGH": 0.75, "EXTREME": 1}

// customRanking returns the order of a customRankingInfo: "By the
// relevance score adjusted to the ranking_expression". Both fields of the
// message are required.
func (s *search) customRanking(in Object, bad *violations) ordering {
	info, has := in["customRankingInfo"].(Object)
	if !has {
		return byRelevance
	}
	value, err := parseRanking(text(info, "rankingExpression"))
	if err != nil && info["rankingExpression"] != nil { // a missing one is reported as required
		bad.add("custom_ranking_info.ranking_expression", "%v", err)
	}
	weight := importance[text(info, "importanceLevel")]
	return func(k sortKey, h hit) sortKey {
		attributes, _ := h.job.Fields["customAttributes"].(Object)
		x, ok := value(attributes)
		if !ok || math.IsNaN(x) || math.IsInf(x, 0) {
			return append(k, 1) // "that job is demoted to the end of the results"
		}
		return append(k, 0).number((1-weight)*float64(h.score)+weight*x, descending)
	}
}

// rankingValue is a ranking expression's value for a job. ok is false "if the
// expression references custom attributes that are not populated on the job or
// if the expression results in a divide by zero".
type rankingValue func(attributes Object) (x float64, ok bool)

// maxRankingChars: "The expression must be < 200 characters in length".
const maxRankingChars = 200

// parseRanking reads "a subset of Google SQL syntax. Supported operators are: +,
// -, *, /, where the left and right side of the operator is either a numeric
// Job.custom_attributes key, integer/double value or an expression that can be
// evaluated to a number. Parenthesis are supported".
func parseRanking(s string) (rankingValue, error) {
	if n := len([]rune(s)); n >= maxRankingChars {
		return nil, fmt.Errorf("has %d characters, it must have fewer than %d", n, maxRankingChars)
	}
	p := &rankingParser{scanner{rankingToken, s}}
	value, err := p.sum()
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("unexpected %q", protojson.Clip(p.rest))
	}
	return value, err
}

type rankingParser struct{ scanner }

var rankingToken = regexp.MustCompile(`^(?:[A-Za-z][A-Za-z0-9_]*|\d+(?:\.\d+)?|[-+*/()])`)

func (p *rankingParser) sum() (rankingValue, error) {
	return p.chain(p.product, map[string]func(a, b float64) (float64, bool){
		"+": func(a, b float64) (float64, bool) { return a + b, true },
		"-": func(a, b float64) (float64, bool) { return a - b, true },
	})
}

func (p *rankingParser) product() (rankingValue, error) {
	return p.chain(p.factor, map[string]func(a, b float64) (float64, bool){
		"*": func(a, b float64) (float64, bool) { return a * b, true },
		"/": func(a, b float64) (float64, bool) { return a / b, b != 0 },
	})
}

// chain reads operands with operators of the same precedence between them.
func (p *rankingParser) chain(operand func() (rankingValue, error), operators map[string]func(a, b float64) (float64, bool)) (rankingValue, error) {
	left, err := operand()
	for err == nil {
		token := p.peek()
		apply := operators[token]
		if apply == nil {
			break
		}
		p.take(token)
		var right rankingValue
		if right, err = operand(); err == nil {
			left = combined(left, right, apply)
		}
	}
	return left, err
}

func combined(left, right rankingValue, apply func(a, b float64) (float64, bool)) rankingValue {
	return func(attributes Object) (float64, bool) {
		a, okA := left(attributes)
		b, okB := right(attributes)
		x, ok := apply(a, b)
		return x, ok && okA && okB
	}
}

func (p *rankingParser) factor() (rankingValue, error) {
	token := p.peek()
	switch {
	case p.take("-"):
		value, err := p.factor()
		return func(attributes Object) (float64, bool) {
			x, ok := value(attributes)
			return -x, ok
		}, err
	case p.take("("):
		value, err := p.sum()
		if err == nil && !p.take(")") {
			err = errors.New("a closing parenthesis is missing")
		}
		return value, err
	case keyForm.MatchString(token):
		p.take(token)
		return func(attributes Object) (float64, bool) { return numberOf(attributes, token) }, nil
	}
	x, err := strconv.ParseFloat(token, 64)
	if err != nil {
		return nil, fmt.Errorf("expected a number or a custom attribute's key at %q", protojson.Clip(p.rest))
	}
	p.take(token)
	return func(Object) (float64, bool) { return x, true }, nil
}

// numberOf returns a numeric attribute's value.
func numberOf(attributes Object, key string) (float64, bool) {
	attribute, _ := attributes[key].(Object)
	for _, value := range texts(attribute, "longValues") {
		x, err := strconv.ParseFloat(value, 64)
		return x, err == nil
	}
	return 0, false
}
