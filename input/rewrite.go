package input

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"
)

// rewriter changes a parsed program so that it keeps to the limits: a check runs
// before each step that may take much memory or time at once, which the
// interpreter itself does not bound. It refuses what a mapping may not use.
//
// With traced, it also has the program keep the number of the part that is being
// run, so that a failure can be placed.
type rewriter struct {
	traced bool
	// trusted programs are this package's own.
	trusted bool
	// own are the functions that the program itself defines, as name/arity.
	own map[string]bool
	// parts are the texts of the parts of a traced program.
	parts []string
	// part is the number of the part that is being rewritten.
	part int
	err  *refusal
	// temps counts the variables that were made.
	temps int
}

// refusal is what a program must not use.
type refusal struct {
	text   string // of the program
	reason string
}

func (e *refusal) Error() string { return e.text + ": " + e.reason }

func (w *rewriter) refuse(text fmt.Stringer, format string, args ...any) {
	if w.err == nil {
		w.err = &refusal{strings.TrimSpace(text.String()), fmt.Sprintf(format, args...)}
	}
}

// define collects the functions of a program, and the functions that they take.
func (w *rewriter) define(q *gojq.Query) {
	eachFunction(q, func(f *gojq.FuncDef) {
		name := signature(f.Name, len(f.Args))
		if strings.HasPrefix(f.Name, "_") && !w.trusted {
			w.refuse(f, "names of functions that begin with _ are reserved")
		}
		if t := treat(f.Name, len(f.Args)); t.kind > safe && !w.trusted {
			w.refuse(f, "%s is a function of the language: give yours another name", name)
		}
		w.own[name] = true
		for _, arg := range f.Args {
			w.variable(f, arg)
			w.own[signature(arg, 0)] = true
		}
	})
}

func signature(name string, arity int) string { return name + "/" + strconv.Itoa(arity) }

// query rewrites q in place.
func (w *rewriter) query(q *gojq.Query) {
	if q == nil {
		return
	}
	if len(q.Imports) > 0 {
		w.refuse(q.Imports[0], "modules are not available")
		return
	}
	for _, f := range q.FuncDefs {
		w.query(f.Body)
	}
	outer := w.part
	defer func() { w.part = outer }()
	mark := w.mark(q)
	for _, p := range q.Patterns {
		w.pattern(p)
	}
	if q.Term != nil {
		w.term(q)
	} else {
		update := q.Op >= gojq.OpAssign
		if !update {
			w.query(q.Left)
		}
		w.query(q.Right)
		w.operator(q)
	}
	mark(q, outer)
}

// mark gives q a number; the function that it returns has the program keep it.
func (w *rewriter) mark(q *gojq.Query) func(q *gojq.Query, outer int) {
	if !w.traced || q.Op == gojq.OpPipe || q.Op == gojq.OpComma {
		return func(*gojq.Query, int) {}
	}
	plain := *q
	plain.FuncDefs = nil
	w.part = len(w.parts)
	w.parts = append(w.parts, plain.String())
	number := w.part
	return func(q *gojq.Query, outer int) {
		at := func(n int) *gojq.Query { return call("_at", variable(runName), literal(n)) }
		defs := q.FuncDefs
		inner := *q
		inner.FuncDefs = nil
		*q = *pipe(at(number), pipe(&inner, at(outer)))
		q.FuncDefs = defs
	}
}

// operator puts a check before an operator. The operands are bound to variables in
// the order in which the interpreter evaluates them.
func (w *rewriter) operator(q *gojq.Query) {
	var name string
	switch q.Op {
	case gojq.OpAdd:
		name = "_plus"
	case gojq.OpMul:
		name = "_times"
	case gojq.OpSub, gojq.OpDiv:
		name = "_pairwise"
	case gojq.OpMod:
		name = "_plus"
	case gojq.OpEq, gojq.OpNe, gojq.OpLt, gojq.OpLe, gojq.OpGt, gojq.OpGe:
		name = "_compare"
	default:
		if q.Op >= gojq.OpAssign {
			w.update(q)
		}
		return
	}
	if isScalar(q.Left) || isScalar(q.Right) {
		if name == "_compare" || isNumber(q.Left) && isNumber(q.Right) {
			return
		}
	}
	defs := q.FuncDefs
	*q = *w.bind([]*gojq.Query{q.Left, q.Right}, name, func(args []*gojq.Query) *gojq.Query {
		return &gojq.Query{Op: q.Op, Left: args[0], Right: args[1]}
	})
	q.FuncDefs = defs
}

// update rewrites an assignment. The paths that the left side may name are known
// where it is made of names and brackets alone.
func (w *rewriter) update(q *gojq.Query) {
	static := isStatic(q.Left)
	left := q.Left
	w.query(left)
	op := gojq.OpModify
	switch q.Op {
	case gojq.OpUpdateAdd:
		op = gojq.OpAdd
	case gojq.OpUpdateSub:
		op = gojq.OpSub
	case gojq.OpUpdateMul:
		op = gojq.OpMul
	case gojq.OpUpdateDiv:
		op = gojq.OpDiv
	}
	changed := &gojq.Query{Op: q.Op, Left: left, Right: q.Right}
	if op != gojq.OpModify {
		// A op= B is B as $b | A |= . op $b.
		name := w.temp()
		sum := &gojq.Query{Op: op, Left: identity(), Right: variable(name)}
		w.operator(sum)
		changed = as(q.Right, name, &gojq.Query{Op: gojq.OpModify, Left: left, Right: sum})
	}
	if !static {
		// reduce path(A) as $p (.; check of $p) | A op= B.
		name := w.temp()
		places := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeReduce, Reduce: &gojq.Reduce{
			Query:    call("path", left),
			Patterns: []*gojq.Pattern{{Name: name}},
			Start:    identity(),
			Update:   call("_place", variable(runName), variable(name)),
		}}}
		changed = pipe(call("_whole", variable(runName)), pipe(places, changed))
	}
	defs := q.FuncDefs
	*q = *changed
	q.FuncDefs = defs
}

// term rewrites the term that q consists of.
func (w *rewriter) term(q *gojq.Query) {
	t := q.Term
	switch t.Type {
	case gojq.TermTypeRecurse:
		q.Term = w.before("_whole", &gojq.Term{Type: gojq.TermTypeRecurse})
		q.Term.SuffixList = t.SuffixList
	case gojq.TermTypeFunc:
		replaced := w.function(t.Func)
		if replaced != nil {
			q.Term = group(replaced)
			q.Term.SuffixList = t.SuffixList
		}
	case gojq.TermTypeIndex:
		w.index(t.Index)
	case gojq.TermTypeObject:
		for _, m := range t.Object.KeyVals {
			w.variable(m, m.Key)
			w.text(m.KeyString)
			w.query(m.KeyQuery)
			w.query(m.Val)
		}
	case gojq.TermTypeArray:
		w.query(t.Array.Query)
	case gojq.TermTypeUnary:
		operand := &gojq.Query{Term: t.Unary.Term}
		w.term(operand)
		t.Unary.Term = operand.Term
	case gojq.TermTypeFormat:
		if t.Str == nil {
			q.Term = w.before("_whole", &gojq.Term{Type: t.Type, Format: t.Format})
			q.Term.SuffixList = t.SuffixList
		}
		w.text(t.Str)
	case gojq.TermTypeString:
		w.text(t.Str)
	default:
		w.control(t)
	}
	w.suffixes(q)
}

// control rewrites the terms that control what is run.
func (w *rewriter) control(t *gojq.Term) {
	switch t.Type {
	case gojq.TermTypeIf:
		w.query(t.If.Cond)
		w.query(t.If.Then)
		for _, e := range t.If.Elif {
			w.query(e.Cond)
			w.query(e.Then)
		}
		w.query(t.If.Else)
	case gojq.TermTypeTry:
		w.query(t.Try.Body)
		w.query(t.Try.Catch)
	case gojq.TermTypeReduce:
		w.query(t.Reduce.Query)
		w.patterns(t.Reduce.Patterns)
		w.query(t.Reduce.Start)
		w.query(t.Reduce.Update)
	case gojq.TermTypeForeach:
		w.query(t.Foreach.Query)
		w.patterns(t.Foreach.Patterns)
		w.query(t.Foreach.Start)
		w.query(t.Foreach.Update)
		w.query(t.Foreach.Extract)
	case gojq.TermTypeLabel:
		w.query(t.Label.Body)
	case gojq.TermTypeQuery:
		w.query(t.Query)
	}
}

// suffixes rewrites what follows a term: .[] copies what it iterates over, so the
// run is charged before it.
func (w *rewriter) suffixes(q *gojq.Query) {
	t := q.Term
	for i := 0; i < len(t.SuffixList); i++ {
		s := t.SuffixList[i]
		if s.Index != nil {
			w.index(s.Index)
		}
		if !s.Iter {
			continue
		}
		before := *t
		before.SuffixList = t.SuffixList[:i:i]
		rest := t.SuffixList[i:]
		t = group(pipe(&gojq.Query{Term: &before}, call("_iterate", variable(runName))))
		t.SuffixList = append([]*gojq.Suffix(nil), rest...)
		i = 0
	}
	q.Term = t
}

func (w *rewriter) index(x *gojq.Index) {
	w.text(x.Str)
	w.query(x.Start)
	w.query(x.End)
	if x.Start != nil && !x.IsSlice && !isScalar(x.Start) {
		*x.Start = *pipe(clone(x.Start), call("_index", variable(runName)))
	}
}

// text rewrites the parts of a string that are computed.
func (w *rewriter) text(s *gojq.String) {
	if s == nil {
		return
	}
	for i, q := range s.Queries {
		if q.Term != nil && q.Term.Type == gojq.TermTypeString && q.Term.Str.Queries == nil {
			continue // the text between
		}
		w.query(q)
		s.Queries[i] = group2(pipe(clone(q), call("_whole", variable(runName))))
	}
}

func (w *rewriter) patterns(all []*gojq.Pattern) {
	for _, p := range all {
		w.pattern(p)
	}
}

func (w *rewriter) pattern(p *gojq.Pattern) {
	if p == nil {
		return
	}
	if p.Name != "" {
		w.variable(p, p.Name)
	}
	w.patterns(p.Array)
	for _, m := range p.Object {
		w.variable(m, m.Key)
		w.text(m.KeyString)
		w.query(m.KeyQuery)
		w.pattern(m.Val)
	}
}

// before is a term that checks its input first.
func (w *rewriter) before(check string, t *gojq.Term) *gojq.Term {
	return group(pipe(call(check, variable(runName)), &gojq.Query{Term: t}))
}

// bind evaluates the arguments, checks them and then runs what body makes of them.
func (w *rewriter) bind(args []*gojq.Query, check string, body func([]*gojq.Query) *gojq.Query) *gojq.Query {
	names := make([]string, len(args))
	bound := make([]*gojq.Query, len(args))
	for i := range args {
		names[i] = w.temp()
		bound[i] = variable(names[i])
	}
	q := pipe(call(check, append([]*gojq.Query{variable(runName)}, bound...)...), body(bound))
	for i := range args { // the last is bound first
		q = as(args[i], names[i], q)
	}
	return group2(q)
}

func (w *rewriter) temp() string {
	w.temps++
	return "$__" + strconv.Itoa(w.temps)
}
