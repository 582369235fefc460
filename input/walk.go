package input

import "github.com/itchyny/gojq"

// eachFunction calls visit for each function that a program defines.
func eachFunction(q *gojq.Query, visit func(*gojq.FuncDef)) {
	if q == nil {
		return
	}
	for _, f := range q.FuncDefs {
		visit(f)
		eachFunction(f.Body, visit)
	}
	for _, child := range children(q) {
		eachFunction(child, visit)
	}
}

// children are the queries that a query directly consists of.
func children(q *gojq.Query) []*gojq.Query {
	all := []*gojq.Query{q.Left, q.Right}
	for _, p := range q.Patterns {
		all = append(all, inPattern(p)...)
	}
	return append(all, inTerm(q.Term)...)
}

func inTerm(t *gojq.Term) []*gojq.Query {
	if t == nil {
		return nil
	}
	all := append(inIndex(t.Index), inText(t.Str)...)
	switch t.Type {
	case gojq.TermTypeFunc:
		all = append(all, t.Func.Args...)
	case gojq.TermTypeObject:
		for _, m := range t.Object.KeyVals {
			all = append(append(all, inText(m.KeyString)...), m.KeyQuery, m.Val)
		}
	case gojq.TermTypeArray:
		all = append(all, t.Array.Query)
	case gojq.TermTypeUnary:
		all = append(all, inTerm(t.Unary.Term)...)
	default:
		all = append(all, inControl(t)...)
	}
	for _, s := range t.SuffixList {
		all = append(all, inIndex(s.Index)...)
	}
	return all
}

func inControl(t *gojq.Term) (all []*gojq.Query) {
	var patterns []*gojq.Pattern
	switch t.Type {
	case gojq.TermTypeIf:
		all = append(all, t.If.Cond, t.If.Then, t.If.Else)
		for _, e := range t.If.Elif {
			all = append(all, e.Cond, e.Then)
		}
	case gojq.TermTypeTry:
		all = append(all, t.Try.Body, t.Try.Catch)
	case gojq.TermTypeReduce:
		all, patterns = append(all, t.Reduce.Query, t.Reduce.Start, t.Reduce.Update), t.Reduce.Patterns
	case gojq.TermTypeForeach:
		all, patterns = append(all, t.Foreach.Query, t.Foreach.Start, t.Foreach.Update, t.Foreach.Extract), t.Foreach.Patterns
	case gojq.TermTypeLabel:
		all = append(all, t.Label.Body)
	case gojq.TermTypeQuery:
		all = append(all, t.Query)
	}
	for _, p := range patterns {
		all = append(all, inPattern(p)...)
	}
	return all
}

func inPattern(p *gojq.Pattern) (all []*gojq.Query) {
	if p == nil {
		return nil
	}
	for _, member := range p.Array {
		all = append(all, inPattern(member)...)
	}
	for _, m := range p.Object {
		all = append(append(append(all, inText(m.KeyString)...), m.KeyQuery), inPattern(m.Val)...)
	}
	return all
}

func inIndex(x *gojq.Index) []*gojq.Query {
	if x == nil {
		return nil
	}
	return append(inText(x.Str), x.Start, x.End)
}

func inText(s *gojq.String) []*gojq.Query {
	if s == nil {
		return nil
	}
	return append([]*gojq.Query(nil), s.Queries...)
}
