package input

import (
	"encoding/json"
	"strings"
	"testing"
)

// vars are the values of the variables, but for the run.
func vars() []any {
	return []any{"key-1", map[string]any{"h": "v"}, "topic", 3, 42, "2026-01-02T03:04:05.678Z", nil}
}

func mapOne(t testing.TB, source, record string) ([]string, error) {
	t.Helper()
	p, err := Compile(source)
	if err != nil {
		return nil, err
	}
	value, err := decodeJSON([]byte(record), newBudget(maxDecoded, nil))
	if err != nil {
		t.Fatal(err)
	}
	outputs, wrong := p.apply(value, vars())
	if wrong != nil {
		return nil, wrong
	}
	var all []string
	for _, o := range outputs {
		all = append(all, string(o))
	}
	return all, nil
}

func TestPrograms(t *testing.T) {
	for name, test := range map[string]struct{ program, record, want string }{
		"identity":             {`.`, `{"a":1}`, `{"a":1}`},
		"no output":            {`empty`, `{}`, ``},
		"select":               {`select(.a == "x") | {b: .a}`, `{"a":"x"}`, `{"b":"x"}`},
		"several":              {`.list[] | {id: .}`, `{"list":[1,2]}`, `{"id":1} {"id":2}`},
		"variables":            {`{k: $key, h: $headers.h, t: $topic, p: $partition, o: $offset, at: $timestamp, s: $schema}`, `{}`, `{"at":"2026-01-02T03:04:05.678Z","h":"v","k":"key-1","o":42,"p":3,"s":null,"t":"topic"}`},
		"19 digits":            {`{id: .id, text: "\(.id)", str: (.id|tostring), ev: .id}`, `{"id":9223372036854775807}`, `{"ev":9223372036854775807,"id":9223372036854775807,"str":"9223372036854775807","text":"9223372036854775807"}`},
		"25 digits":            {`{id: .id, s: (.id|tostring), plus: (.id + 1)}`, `{"id":1234567890123456789012345}`, `{"id":1234567890123456789012345,"plus":1234567890123456789012346,"s":"1234567890123456789012345"}`},
		"decimals":             {`{a: .a, s: "\(.a)", l: [.a]}`, `{"a":12345678901234567890.123456789012345678}`, `{"a":12345678901234567890.123456789012345678,"l":[12345678901234567890.123456789012345678],"s":"12345678901234567890.123456789012345678"}`},
		"epoch millis":         {`{t: (.t | from_epoch_millis), f: (.f | from_epoch_millis), s: ("1767323045678" | from_epoch_millis)}`, `{"t":1767323045678,"f":1767323045678.25}`, `{"f":"2026-01-02T03:04:05.67825Z","s":"2026-01-02T03:04:05.678Z","t":"2026-01-02T03:04:05.678Z"}`},
		"epoch seconds":        {`{t: (.t | from_epoch_seconds), f: (.f | from_epoch_seconds)}`, `{"t":-1,"f":1767323045.123456789}`, `{"f":"2026-01-02T03:04:05.123456789Z","t":"1969-12-31T23:59:59Z"}`},
		"event_id":             {`{i: event_id("view"; .id), same: (event_id("view"; .id) == event_id("view"; "\(.id)"))}`, `{"id":9007199254740993}`, `{"i":"` + eventID(nil, []any{"view", "9007199254740993"}).(string) + `","same":true}`},
		"arithmetic":           {`{a: (.x * 2 + 1 - 3), b: (.x / 2), c: (.x % 2), d: ("a" + "b"), e: ([1] + [2]), f: ("ab" * 2), g: -(.x)}`, `{"x":7}`, `{"a":12,"b":3.5,"c":1,"d":"ab","e":[1,2],"f":"abab","g":-7}`},
		"comparisons":          {`{a: (.x == .y), b: (.x < .y), c: (.l == .m), d: (.x != 1)}`, `{"x":1,"y":2,"l":[1],"m":[1]}`, `{"a":false,"b":true,"c":true,"d":false}`},
		"updates":              {`.a += 1 | .b[] |= . + 1 | .c //= "d" | .n.m = 5 | .[("x","y")] = 1 | .a -= .z | del(.z)`, `{"a":1,"b":[1,2],"z":10}`, `{"a":-8,"b":[2,3],"c":"d","n":{"m":5},"x":1,"y":1}`},
		"cartesian":            {`{v: ((1,2) + (10,20))}`, `{}`, `{"v":11} {"v":12} {"v":21} {"v":22}`},
		"strings":              {`{a: ("a,b" | split(",") | join("-")), b: (.s | sub("l+"; "L")), c: (.s | gsub("l"; "1")), d: (.s | test("^h")), e: (.s | [match("l";"g").offset]), f: (.s|ascii_upcase), g: @base64 "\(.s)", h: (.s|@uri), i: (.s | capture("(?<x>l+)"))}`, `{"s":"hello"}`, `{"a":"a-b","b":"heLo","c":"he11o","d":true,"e":[2,3],"f":"HELLO","g":"aGVsbG8=","h":"hello","i":{"x":"ll"}}`},
		"collections":          {`{a: (.l | sort_by(.k) | map(.k)), b: (.l | group_by(.k) | length), c: (.l | unique_by(.k) | length), d: (.l | max_by(.k).k), e: (.o | to_entries | from_entries), f: (.o | with_entries(.value += 1)), g: (.l | map(.k) | add), h: (.o | keys), i: (.l[0] | has("k")), j: ([.l[].k] | index(1)), k: (["a","b"] | contains(["a"])), m: ([.. | numbers] | length), n: ([[1,2],[3]] | flatten | transpose? // "no"), o: (.o | pick(.a)), p: (.o | [paths])}`, `{"l":[{"k":2},{"k":1}],"o":{"a":1}}`, ``},
		"dates":                {`{a: ("2026-01-02T03:04:05Z" | fromdate), b: (0 | todate), c: ("2026-01-02" | strptime("%Y-%m-%d") | mktime), d: (0 | strftime("%Y"))}`, `{}`, `{"a":1767323045,"b":"1970-01-01T00:00:00Z","c":1767312000,"d":"1970"}`},
		"reduce and functions": {`def twice(f): f | f; reduce .l[] as $x ({n: 0}; .n += $x) | .n |= twice(. * 2)`, `{"l":[1,2,3]}`, `{"n":24}`},
		"destructuring":        {`. as {a: $x, $b, c: [$y]} | {x: $x, b: $b, y: $y}`, `{"a":1,"b":2,"c":[3]}`, `{"b":2,"x":1,"y":3}`},
		"optional":             {`try error("x") catch {e: .} | .f = (.g? // "none")`, `{}`, `{"e":"x","f":"none"}`},
		"slices":               {`{a: .s[1:3], b: .l[1:], c: .l[-1]}`, `{"s":"hello","l":[1,2,3]}`, `{"a":"el","b":[2,3],"c":3}`},
		"if in a path":         {`(if .a == .b then .c else .d end) |= 5`, `{"a":1,"b":1}`, `{"a":1,"b":1,"c":5}`},
		"foreach and label":    {`[label $f | foreach .l[] as $x (0; . + $x; if . > 2 then ., break $f else . end)] | {s: .}`, `{"l":[1,2,3]}`, `{"s":[1,3]}`},
		"comment":              {"# all\n{a: \"#\" # b\n}", `{}`, `{"a":"#"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mapOne(t, test.program, test.record)
			if err != nil {
				t.Fatal(err)
			}
			if test.want != "" && strings.Join(got, " ") != test.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " "), test.want)
			}
			// With its marks, a program gives the same.
			traced, _, err := compile(test.program, true)
			if err != nil {
				t.Fatal(err)
			}
			value, _ := decodeJSON([]byte(test.record), newBudget(maxDecoded, nil))
			outputs, err := (&Program{}).runOnce(traced, newRun(maxSteps), value, vars())
			if err != nil || len(outputs) != len(got) {
				t.Fatalf("traced: %q, %v", outputs, err)
			}
			for i := range outputs {
				if string(outputs[i]) != got[i] {
					t.Errorf("traced: %s, want %s", outputs[i], got[i])
				}
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	for program, want := range map[string]string{
		"{a: .b,\n  c: }":            `line 2, column 6: unexpected token "}"`,
		".a | nosuch":                `line 1, column 6: nosuch: there is no such function in mappings`,
		".a\n| $nosuch":              `line 2, column 3: variable not defined: $nosuch`,
		"{a: env.HOME}":              "line 1, column 5: env: a mapping can't read the environment",
		"$ENV.HOME":                  "line 1, column 1: $ENV: a mapping can't read the environment",
		"input":                      "line 1, column 1: input: a mapping gets one record, as `.`",
		"[inputs]":                   "line 1, column 2: inputs: a mapping gets one record, as `.`",
		`import "a" as a; .`:         `line 1, column 1: import "a" as a;: modules are not available`,
		`include "a"; .`:             `line 1, column 1: include "a";: modules are not available`,
		"halt":                       "line 1, column 1: halt: a mapping can't end the program: use empty to skip a record, or error to reject it",
		`"x" | halt_error(1)`:        "line 1, column 7: halt_error(1): a mapping can't end the program: use empty to skip a record, or error to reject it",
		"now":                        "line 1, column 1: now: a record must give the same events each time it is read: use $timestamp",
		"debug":                      "line 1, column 1: debug: a mapping can't write: try it out with 'clientevents test'",
		"$__run":                     "line 1, column 1: $__run: names that begin with $__ are reserved",
		"{$__run}":                   "line 1, column 2: $__run: names that begin with $__ are reserved",
		"1 as $__run | .":            "line 1, column 6: $__run: names that begin with $__ are reserved",
		"def _plus(a;b): 1; .":       "line 1, column 1: def _plus(a; b): 1;: names of functions that begin with _ are reserved",
		"def tojson: 1; .":           "line 1, column 1: def tojson: 1;: tojson/0 is a function of the language: give yours another name",
		"_plus(1;2)":                 "line 1, column 1: _plus(1; 2): there is no such function in mappings",
		"test(.re)":                  "line 1, column 1: test(.re): the regular expression and its flags must be written out as strings",
		`gsub("a"; "b"; .flags)`:     `line 1, column 1: gsub("a"; "b"; .flags): the regular expression and its flags must be written out as strings`,
		"jn(1;2)":                    "line 1, column 1: jn(1; 2): there is no such function in mappings",
		"":                           "missing query",
		strings.Repeat("x", 100_000): "the program has 100000 bytes: at most 65536 are allowed",
	} {
		_, err := Compile(program)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s:\n got %v\nwant %s", program, err, want)
		}
	}
}

func TestFailuresArePlacedAndShowNothingOfTheRecord(t *testing.T) {
	const record = `{"id":"secret-4711","notes":"Jane Doe, jane@example.com","list":[1,"two"],"n":null}`
	for program, want := range map[string]string{
		"{a: 1,\n b: (.id | tonumber)}":            `line 2, column 12, tonumber: tonumber cannot be applied to "…": invalid number`,
		"{a: (.notes + 1)}":                        `line 1, column 6, .notes + 1: cannot add: string ("…") and number (1)`,
		"# first\n.n[] | {a: .}":                   "line 2, column 1, .n[]: cannot iterate over: null",
		`error("no job in \(.notes)")`:             `line 1, column 1, error("no job in \(.notes)"): no job in …`,
		`error("unknown kind")`:                    `line 1, column 1, error("unknown kind"): unknown kind`,
		`.notes | error`:                           `line 1, column 10, error: …`,
		`.notes`:                                   "output 1 is a string: an event is an object",
		`{}, .list`:                                "output 2 is an array: an event is an object",
		`.n`:                                       "output 1 is null: an event is an object",
		`range(2000) | {a: .}`:                     "the program returned more than 1000 events",
		`{a: event_id("x"; .n)}`:                   `line 1, column 5, event_id("x"; .n): event_id cannot be applied to: null`,
		`{a: (.notes | from_epoch_millis)}`:        `line 1, column 15, from_epoch_millis: from_epoch_millis: expected a number of seconds or milliseconds since 1970`,
		"def f:\n  f;\n{a: 1} | f":                 `line 2, column 3, f: the program took more than 1000000 steps`,
		`.list | map(ltrimstr("a") | test("b"))[]`: `line 1, column 13, ltrimstr("a"): ltrimstr("a") cannot be applied to: number (…)`,
	} {
		_, err := mapOne(t, program, record)
		if err == nil {
			t.Fatalf("%s: no error", program)
		}
		if got := err.Error(); got != want && !strings.HasSuffix(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", program, got, want)
		}
		for _, secret := range []string{"Jane", "jane", "Doe", "4711", "example"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %s shows the record", program, err)
			}
		}
	}
}

func TestDecodeJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":[1,{"b":null}],"c":"é"}`:     ``,
		``:                                 "not JSON: it ends too early",
		`{"a":`:                            "not JSON: it ends too early",
		`{"a":1}{}`:                        "not one JSON value: there is more after offset",
		`{"a":1,"a":2}`:                    "a name stands twice in an object, at offset 7",
		`{"a":x}`:                          "not JSON at offset 5",
		"\"\xff\"":                         "not JSON at offset 1",
		strings.Repeat("[", 10_000_000):    "nested more than 64 deep",
		strings.Repeat(`{"a":`, 1_000_000): "nested more than 64 deep",
	} {
		v, err := decodeJSON([]byte(text), newBudget(maxDecoded, nil))
		if want == "" {
			again, _ := json.Marshal(v)
			if err != nil || string(again) != text {
				t.Errorf("%s: %s, %v", text, again, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.20s: %v, want %s", text, err, want)
		}
	}
}

func TestEpochs(t *testing.T) {
	for text, want := range map[string]string{
		"0": "1970-01-01T00:00:00Z", "-1": "1969-12-31T23:59:59.999Z", "1767323045678": "2026-01-02T03:04:05.678Z",
		"1.7e12": "2023-11-14T22:13:20Z", "0.000001": "1970-01-01T00:00:00.000000001Z",
		"253402300799999": "9999-12-31T23:59:59.999Z", "253402300800000": "", "9223372036854775807": "",
		"1e400000000": "", "1e-400000000": "", "x": "", "": "", "0x10": "", "1/2": "", "Inf": "",
	} {
		got, ok := parseEpoch(text, 1000)
		if !ok && want == "" {
			continue
		}
		if shown := got.Format("2006-01-02T15:04:05.999999999Z07:00"); !ok || shown != want {
			t.Errorf("%q: %s, %v, want %q", text, shown, ok, want)
		}
	}
}
