package input

import (
	"fmt"
	"strings"

	"github.com/itchyny/gojq"
)

// kind is how a function of the language is treated.
type kind uint8

const (
	// unavailable functions are refused. Every function that is not listed is.
	unavailable kind = iota
	// own functions are the prelude's or this package's.
	own
	// safe functions run as they are.
	safe
	// guarded functions run after a check of their input.
	guarded
	// bound functions run after a check of their input and their arguments.
	bound
	// matching functions take a regular expression, which must be written out: the
	// interpreter keeps each one that it meets for ever.
	matching
	// comparing functions sort or group by what their argument gives.
	comparing
)

// treatment is how a function is treated, and by which check.
type treatment struct {
	kind  kind
	check string
}

// treat finds how a function of the language is treated.
func treat(name string, arity int) treatment { return treatments[signature(name, arity)] }

var treatments = func() map[string]treatment {
	all := map[string]treatment{}
	list := func(t treatment, names ...string) {
		for _, name := range names {
			all[name] = t
		}
	}
	list(treatment{kind: own},
		"event_id/0", "from_epoch_seconds/0", "from_epoch_millis/0",
		"pick/1", "add/1", "IN/1", "IN/2", "INDEX/1", "INDEX/2")
	list(treatment{kind: safe},
		"empty/0", "not/0", "select/1", "length/0", "utf8bytelength/0", "type/0", "has/1", "in/1",
		"startswith/1", "endswith/1", "ltrimstr/1", "rtrimstr/1", "trimstr/1", "ltrim/0", "rtrim/0", "trim/0",
		"ascii_downcase/0", "ascii_upcase/0", "toboolean/0", "error/0", "error/1",
		"while/2", "until/2", "repeat/1", "range/1", "range/2", "range/3", "recurse/1", "recurse/2",
		"first/0", "first/1", "last/0", "last/1", "nth/1", "nth/2", "limit/2", "skip/2", "isempty/1",
		"all/2", "any/2", "arrays/0", "objects/0", "iterables/0", "booleans/0", "numbers/0", "strings/0",
		"nulls/0", "values/0", "scalars/0", "finites/0", "normals/0", "infinite/0", "nan/0",
		"isfinite/0", "isinfinite/0", "isnan/0", "isnormal/0", "getpath/1",
		"mktime/0", "gmtime/0", "todate/0", "fromdate/0", "todateiso8601/0", "fromdateiso8601/0")
	list(treatment{guarded, "_digits"},
		"tonumber/0", "abs/0", "floor/0", "ceil/0", "round/0", "trunc/0", "fabs/0", "sqrt/0", "log/0", "log2/0",
		"log10/0", "exp/0", "exp2/0", "exp10/0", "significand/0", "logb/0")
	list(treatment{guarded, "_iterate"},
		"map/1", "map_values/1", "to_entries/0", "with_entries/1", "all/0", "all/1", "any/0", "any/1",
		"keys/0", "reverse/0")
	list(treatment{guarded, "_whole"},
		"walk/1", "recurse/0", "paths/0", "paths/1", "path/1", "del/1", "delpaths/1", "tostring/0", "tojson/0",
		"flatten/0", "flatten/1", "sort/0", "unique/0", "min/0", "max/0",
		"from_entries/0", "tostream/0", "format/1")
	list(treatment{guarded, "_total"}, "add/0")
	list(treatment{guarded, "_cells"}, "transpose/0")
	list(treatment{guarded, "_letters"}, "explode/0", "implode/0", "split/1", "fromjson/0")
	list(treatment{bound, "_within"},
		"contains/1", "inside/1", "indices/1", "index/1", "rindex/1", "bsearch/1")
	list(treatment{bound, "_join"}, "join/1")
	list(treatment{bound, "_clock"}, "strftime/1", "strptime/1")
	list(treatment{bound, "_place"}, "setpath/2")
	list(treatment{matching, "_searched"},
		"test/1", "test/2", "match/1", "match/2", "capture/1", "capture/2", "scan/1", "scan/2",
		"split/2", "splits/1", "splits/2", "sub/2", "sub/3", "gsub/2", "gsub/3")
	list(treatment{comparing, "_by"}, "sort_by/1", "group_by/1", "unique_by/1", "min_by/1", "max_by/1")
	return all
}()

// reasons say why some functions are unavailable.
var reasons = map[string]string{
	"env":           "a mapping can't read the environment",
	"$ENV":          "a mapping can't read the environment",
	"input":         "a mapping gets one record, as `.`",
	"inputs":        "a mapping gets one record, as `.`",
	"halt":          "a mapping can't end the program: use empty to skip a record, or error to reject it",
	"halt_error":    "a mapping can't end the program: use empty to skip a record, or error to reject it",
	"debug":         "a mapping can't write: try it out with 'clientevents test'",
	"stderr":        "a mapping can't write: try it out with 'clientevents test'",
	"now":           "a record must give the same events each time it is read: use $timestamp",
	"localtime":     "a mapping can't depend on the machine's time zone: use gmtime",
	"strflocaltime": "a mapping can't depend on the machine's time zone: use strftime",
}

// prelude has the language's functions whose own definitions use what has to be
// checked. They follow gojq's builtin.jq (MIT License, Copyright 2019-2026 itchyny).
const prelude = `
def add(f): [f] | add;
def pick(f): . as $v | reduce path(f) as $p (null; setpath($p; $v | getpath($p)));
def IN(s): any(s == .; .);
def IN(src; s): any(src == s; .);
def INDEX(stream; f): reduce stream as $row ({}; .[$row | f | tostring] = $row);
def INDEX(f): INDEX(.[]; f);
def sub($re; str; $flags):
  reduce (_match($re; $flags; false) | .[]) as {$offset, $length, $captures}
    ({s: ., r: []};
      reduce ($captures | _captures | str) as $s
        (.i = 0; .r[.i] += .s[.next:$offset] + $s | .i += 1) |
      .next = $offset + $length) | .r[] + .s[.next:] // .s;
def sub($re; str): sub($re; str; null);
def gsub($re; str; $flags): sub($re; str; $flags + "g");
def gsub($re; str): sub($re; str; "g");
.`

// function rewrites the call of a function; nil where it stays as it is.
func (w *rewriter) function(f *gojq.Func) *gojq.Query {
	name := signature(f.Name, len(f.Args))
	if f.Name[0] == '$' {
		w.variable(f, f.Name)
		return nil
	}
	t := treat(f.Name, len(f.Args))
	switch {
	case w.own[name]:
		t = treatment{kind: safe}
	case w.trusted || f.Name == "event_id" && len(f.Args) > 0:
		t.kind = max(t.kind, own)
	}
	if t.kind == matching && !w.trusted {
		w.expression(f)
	}
	for _, arg := range f.Args {
		w.query(arg)
	}
	return w.replace(f, t)
}

// expression refuses a regular expression, or its flags, that is computed.
func (w *rewriter) expression(f *gojq.Func) {
	flags := 1
	if f.Name == "sub" || f.Name == "gsub" {
		flags = 2
	}
	if !isLiteralText(f.Args[0]) || len(f.Args) > flags && !isLiteralText(f.Args[flags]) {
		w.refuse(f, "the regular expression and its flags must be written out as strings")
	}
}

// variable refuses the variables that are this package's own.
func (w *rewriter) variable(at fmt.Stringer, name string) {
	switch {
	case w.trusted:
	case name == "$ENV":
		w.refuse(at, "%s", reasons["$ENV"])
	case strings.HasPrefix(name, "$__"):
		w.refuse(at, "names that begin with $__ are reserved")
	}
}

func (w *rewriter) replace(f *gojq.Func, t treatment) *gojq.Query {
	same := func(args []*gojq.Query) *gojq.Query { return call(f.Name, args...) }
	switch t.kind {
	case guarded, matching:
		return pipe(call(t.check, variable(runName)), same(f.Args))
	case bound:
		return w.bind(f.Args, t.check, same).Term.Query
	case comparing:
		by := pipe(call("_iterate", variable(runName)), call("map", &gojq.Query{Term: &gojq.Term{
			Type: gojq.TermTypeArray, Array: &gojq.Array{Query: f.Args[0]},
		}}))
		return w.bind([]*gojq.Query{by}, t.check, func(args []*gojq.Query) *gojq.Query {
			return call("_"+f.Name, args...)
		}).Term.Query
	case unavailable:
		reason, ok := reasons[f.Name]
		if !ok {
			reason = "there is no such function in mappings"
		}
		w.refuse(f, "%s", reason)
	}
	return nil
}
