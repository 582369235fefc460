package input

import (
	"strconv"

	"github.com/itchyny/gojq"
)

// runName is the variable that holds the run.
const runName = "$__run"

func identity() *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIdentity}}
}

func literal(n int) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeNumber, Number: strconv.Itoa(max(n, 0))}}
}

func variable(name string) *gojq.Query { return call(name) }

func call(name string, args ...*gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: name, Args: args}}}
}

func pipe(left, right *gojq.Query) *gojq.Query {
	return &gojq.Query{Op: gojq.OpPipe, Left: left, Right: right}
}

func as(value *gojq.Query, name string, body *gojq.Query) *gojq.Query {
	return &gojq.Query{Op: gojq.OpPipe, Left: value, Right: body, Patterns: []*gojq.Pattern{{Name: name}}}
}

func group(q *gojq.Query) *gojq.Term { return &gojq.Term{Type: gojq.TermTypeQuery, Query: q} }

func group2(q *gojq.Query) *gojq.Query { return &gojq.Query{Term: group(q)} }

func clone(q *gojq.Query) *gojq.Query {
	c := *q
	return &c
}

// isScalar reports whether q is a literal that is neither an array nor an object.
func isScalar(q *gojq.Query) bool {
	if q.Term == nil || len(q.FuncDefs) > 0 || len(q.Term.SuffixList) > 0 {
		return false
	}
	switch q.Term.Type {
	case gojq.TermTypeNull, gojq.TermTypeTrue, gojq.TermTypeFalse, gojq.TermTypeNumber:
		return true
	case gojq.TermTypeString:
		return len(q.Term.Str.Queries) == 0
	}
	return false
}

func isNumber(q *gojq.Query) bool {
	return isScalar(q) && q.Term.Type == gojq.TermTypeNumber
}

// isLiteralText reports whether q is a string that is written out.
func isLiteralText(q *gojq.Query) bool {
	return isScalar(q) && q.Term.Type == gojq.TermTypeString || isNull(q)
}

func isNull(q *gojq.Query) bool { return isScalar(q) && q.Term.Type == gojq.TermTypeNull }

// isStatic reports whether q names paths of a known depth and of small indices
// alone: names, .[] and written-out numbers below maxIndex.
func isStatic(q *gojq.Query) bool {
	t := q.Term
	if t == nil || len(q.FuncDefs) > 0 {
		return false
	}
	switch t.Type {
	case gojq.TermTypeIdentity:
	case gojq.TermTypeIndex:
		if !isStaticIndex(t.Index) {
			return false
		}
	case gojq.TermTypeQuery:
		if !isStatic(t.Query) {
			return false
		}
	default:
		return false
	}
	for _, s := range t.SuffixList {
		if s.Index != nil && !isStaticIndex(s.Index) {
			return false
		}
	}
	return true
}

func isStaticIndex(x *gojq.Index) bool {
	if x.IsSlice {
		return false
	}
	if x.Start == nil {
		return x.Str == nil || len(x.Str.Queries) == 0
	}
	if !isNumber(x.Start) {
		return isLiteralText(x.Start)
	}
	n, err := strconv.Atoi(x.Start.Term.Number)
	return err == nil && n <= maxIndex
}
