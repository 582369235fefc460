package input

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Limits of one run of a mapping, that is of one record.
const (
	// maxTime is how long a program may run (contract, Input).
	maxTime = time.Second
	// maxOutputs is how many events one record may give (contract, Input).
	maxOutputs = 1000
	// maxSteps is how many steps the interpreter may take: an ordinary mapping
	// takes some hundreds an event. A step costs at most about 100 bytes of
	// the interpreter's own stacks, which nothing else bounds.
	maxSteps = 1_000_000
	// maxMemory is how many bytes the values that a program makes may have in all.
	maxMemory = 64 << 20
	// heavySteps and heavyMemory are where a run counts as heavy. Heavy runs take
	// turns, so that several at the same time need no more memory than one.
	heavySteps  = 100_000
	heavyMemory = 4 << 20
	// maxNodes is how many values one value may consist of where it is looked at as
	// a whole. jq shares what it copies, so that a few steps make values of 2^100.
	maxNodes = 1 << 20
	// maxDepth is how deep a record, or a value that a program looks at as a whole,
	// may be nested.
	maxDepth = 64
	// maxText is how many bytes a string that a program makes in one step may have,
	// and maxSearched one that a regular expression is matched with: the time for
	// that grows with the product of both.
	maxText     = 1 << 20
	maxSearched = 64 << 10
	// maxPairs is how many pairs of elements one step may compare.
	maxPairs = 10_000_000
	// maxIndex is how long setting an element may make an array.
	maxIndex = 100_000
	// maxDigits is how many digits a number may have that a program computes with.
	maxDigits = 400
)

var (
	errTime   = fmt.Errorf("the program ran for more than %v", maxTime)
	errSteps  = fmt.Errorf("the program took more than %d steps", maxSteps)
	errMemory = fmt.Errorf("the program made values of more than %d bytes", maxMemory)
	errNodes  = fmt.Errorf("a value consists of more than %d values", maxNodes)
	errDepth  = fmt.Errorf("a value is nested more than %d deep", maxDepth)
	errText   = fmt.Errorf("a string has more than %d bytes", maxText)
	errSearch = fmt.Errorf("a string that a regular expression is matched with has more than %d bytes", maxSearched)
	errPairs  = fmt.Errorf("a step compares more than %d pairs", maxPairs)
	errIndex  = fmt.Errorf("an array index is greater than %d", maxIndex)
	errDigits = fmt.Errorf("a number has more than %d digits", maxDigits)
	// .[[…]] is indices([…]) without its check.
	errBrackets = errors.New("an array cannot be indexed by an array: use indices")

	errFormat = errors.New("the format of a time is not a string of at most 1024 bytes")
)

// weight is the size of a value: how many values it consists of, each counted as
// often as it stands there, and about how many bytes it has as text.
type weight struct{ nodes, bytes int }

// weigh measures a value, as far as its limits.
func weigh(v any) (weight, error) {
	var w weight
	err := w.add(v, maxDepth)
	return w, err
}

func (w *weight) add(v any, deeper int) error {
	if w.nodes++; w.nodes > maxNodes {
		return errNodes
	}
	switch v := v.(type) {
	case string:
		w.bytes += len(v)
	case json.Number:
		w.bytes += len(v)
	case []any:
		if deeper == 0 {
			return errDepth
		}
		for _, member := range v {
			if err := w.add(member, deeper-1); err != nil {
				return err
			}
		}
	case map[string]any:
		if deeper == 0 {
			return errDepth
		}
		for name, member := range v {
			w.bytes += len(name)
			if err := w.add(member, deeper-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// length is how many elements, members or bytes a value has.
func length(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	}
	return 0
}

func composite(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}

// Sizes of what the interpreter makes: an element of an array, and a member of an
// object or an element that is iterated over.
const (
	slotSize   = 16
	memberSize = 48
)

// check is what is looked at before a step of the program is taken: x is the
// input and args are the arguments. It charges the run for what the step makes.
type check func(r *run, x any, args []any) error

// The checks, by the names that the rewritten program calls them by.
var checks = map[string]check{
	"_iterate": func(r *run, x any, _ []any) error { return r.charge(length(x) * memberSize) },
	"_whole":   func(r *run, x any, _ []any) error { return r.whole(x) },
	"_index": func(_ *run, x any, _ []any) error {
		if _, ok := x.([]any); ok {
			return errBrackets
		}
		return nil
	},
	"_total": func(r *run, x any, _ []any) error {
		total := 0
		if list, ok := x.([]any); ok {
			for _, member := range list {
				total += length(member)
			}
		}
		if total > maxText {
			return errText
		}
		return r.charge(total * slotSize)
	},
	"_cells": func(r *run, x any, _ []any) error {
		widest := 0
		rows, _ := x.([]any)
		for _, row := range rows {
			widest = max(widest, length(row))
		}
		return r.charge(slotSize * len(rows) * min(widest, maxMemory))
	},
	"_letters": func(r *run, x any, _ []any) error {
		if length(x) > maxText {
			return errText
		}
		return r.charge(length(x) * 3 * slotSize / 2)
	},
	"_searched": func(r *run, x any, _ []any) error {
		if length(x) > maxSearched {
			return errSearch
		}
		return r.charge(length(x))
	},
	"_digits": func(_ *run, x any, _ []any) error { return digits(x) },
	"_compare": func(r *run, _ any, args []any) error {
		if !composite(args[0]) || !composite(args[1]) {
			return nil
		}
		if err := r.whole(args[0]); err != nil {
			return err
		}
		return r.whole(args[1])
	},
	"_plus":     func(r *run, _ any, args []any) error { return r.plus(args[0], args[1]) },
	"_times":    func(r *run, _ any, args []any) error { return r.times(args[0], args[1]) },
	"_pairwise": func(r *run, _ any, args []any) error { return r.pairs(args[0], args[1]) },
	"_within":   func(r *run, x any, args []any) error { return r.pairs(x, args[0]) },
	"_place":    func(r *run, _ any, args []any) error { return r.place(args[0]) },
	"_join": func(r *run, x any, args []any) error {
		w, err := weigh(x)
		if err != nil {
			return err
		}
		if size := w.bytes + length(x)*length(args[0]); size > maxText {
			return errText
		}
		return r.charge(w.bytes)
	},
	"_clock": func(_ *run, _ any, args []any) error {
		if format, ok := args[0].(string); !ok || len(format) > 1024 {
			return errFormat
		}
		return nil
	},
	"_by": func(r *run, x any, args []any) error {
		if err := r.whole(x); err != nil {
			return err
		}
		return r.whole(args[0])
	},
}

// whole checks a value that a step looks at as a whole.
func (r *run) whole(v any) error {
	w, err := weigh(v)
	if err != nil {
		return err
	}
	return r.charge(w.nodes*memberSize + w.bytes)
}

func (r *run) plus(a, b any) error {
	_, isText := a.(string)
	size := length(a) + length(b)
	if isText {
		if size > maxText && length(a) > 0 && length(b) > 0 {
			return errText
		}
		return r.charge(size)
	}
	if err := errors.Join(digits(a), digits(b)); err != nil {
		return errDigits
	}
	return r.charge(size * slotSize)
}

func (r *run) times(a, b any) error {
	for _, pair := range [2][2]any{{a, b}, {b, a}} {
		text, isText := pair[0].(string)
		if n, isNumber := number(pair[1]); isText && isNumber {
			if float64(len(text))*n > maxText {
				return errText
			}
			return r.charge(len(text) * max(1, int(n)))
		}
	}
	if composite(a) && composite(b) {
		return r.pairs(a, b)
	}
	if err := errors.Join(digits(a), digits(b)); err != nil {
		return errDigits
	}
	return nil
}

// pairs checks two values that a step may compare each element of with each.
func (r *run) pairs(a, b any) error {
	wa, err := weigh(a)
	if err != nil {
		return err
	}
	wb, err := weigh(b)
	if err != nil {
		return err
	}
	if (wa.nodes+wa.bytes)*(wb.nodes+wb.bytes) > maxPairs {
		return errPairs
	}
	return r.charge((wa.nodes + wb.nodes) * memberSize)
}

// place checks the path of a value that is set.
func (r *run) place(path any) error {
	steps, _ := path.([]any)
	if len(steps) > maxDepth {
		return errDepth
	}
	for _, step := range steps {
		if n, ok := number(step); ok && n > maxIndex {
			return errIndex
		}
	}
	return nil
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	case json.Number:
		f, _ := v.Float64()
		return f, true
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f, true
	}
	return 0, false
}

// digits checks a number, or a text that is read as one.
func digits(v any) error {
	n := 0
	switch v := v.(type) {
	case string:
		n = len(v)
	case json.Number:
		n = len(v)
	case *big.Int:
		n = v.BitLen() / 3
	}
	if n > maxDigits {
		return errDigits
	}
	return nil
}
