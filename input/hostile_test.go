package input

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// used returns the processor time that the process has used: other programs on the machine
// do not change what decoding costs.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestHostileAvro(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	fields := make([]string, 0, 40_000)
	for i := range cap(fields) {
		fields = append(fields, fmt.Sprintf(`{"name":"f%d","type":"int"}`, i))
	}
	for id, schema := range map[int]string{
		1: `{"type":"array","items":"null"}`,
		2: `{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}`,
		3: `{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}`,
		4: `{"type":"map","values":{"type":"array","items":{"type":"record","name":"E","fields":[]}}}`,
		5: `{"type":"record","name":"R","fields":[` + strings.Join(fields, ",") + `]}`,
		6: `{"type":"bytes"}`,
		7: `{"type":"fixed","name":"F","size":2147483647}`,
		8: strings.Repeat(`{"type":"array","items":`, 5000) + `"int"` + strings.Repeat("}", 5000),
	} {
		fake.SeedSchema(fmt.Sprint("s", id), 1, id, sr.Schema{Schema: schema})
	}
	d := newDecoder(t, Config{Format: FormatAvro, Registry: Registry{URL: fake.URL()}})
	huge := binary.AppendUvarint(nil, 1<<62)
	for name, value := range map[string]string{
		"null items":     withID(1, huge),
		"endless record": withID(2, nil),
		"nested":         withID(3, []byte(strings.Repeat("\x02", 100_000)+"\x00")),
		"empty records":  withID(4, append([]byte{2, 0}, huge...)),
		"10 MB schema":   withID(5, nil),
		"huge bytes":     withID(6, huge),
		"huge fixed":     withID(7, nil),
		"deep schema":    withID(8, nil),
	} {
		began := used(t)
		got := asText(t, d, record(value))
		took := used(t) - began
		t.Log(name, took.Round(time.Millisecond), got)
		if !strings.HasPrefix(got, "undecodable: ") || took > 3*time.Second {
			t.Errorf("%s: %.200s after %v", name, got, took)
		}
	}
}

// TestHostilePrograms: none ends the process, none takes much longer than a second,
// and none makes it grow by hundreds of megabytes.
func TestHostilePrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: one goroutine computes much")
	}
	wide := `{"a":[` + strings.TrimSuffix(strings.Repeat("0,", 100_000), ",") + `]}`
	text := `{"a":"` + strings.Repeat("a", 900_000) + `"}`
	for name, test := range map[string]struct{ program, record string }{
		"recursion":                {`def f: f; f`, `{}`},
		"deep recursion":           {`def f: 1 + f; f`, `{}`},
		"recursion with outputs":   {`def f: f, f; f`, `{}`},
		"recursion with variables": {`def f($a; $b; $c; $d): f($a + 1; $b; $c; $d) + 1; f(1; 2; 3; 4)`, `{}`},
		"outputs":                  {`range(1000000000) | {a: .}`, `{}`},
		"outputs of repeat":        {`repeat({})`, `{}`},
		"no outputs":               {`range(1000000000) | empty`, `{}`},
		"array":                    {`{a: [range(1000000000)]}`, `{}`},
		"string":                   {`{a: ("x" * 1000000000)}`, `{}`},
		"number times string":      {`{a: (1000000000 * "x")}`, `{}`},
		"doubled string":           {`{a: (reduce range(40) as $i ("x"; . + .))}`, `{}`},
		"doubled array":            {`{a: (reduce range(40) as $i ([1]; . + .))}`, `{}`},
		"interpolated":             {`{a: (reduce range(40) as $i ("x"; "\(.)\(.)"))}`, `{}`},
		"shared":                   {`{a: (reduce range(100) as $i (1; [., .]))}`, `{}`},
		"shared, compared":         {`reduce range(100) as $i (1; [., .]) | {a: (. == .)}`, `{}`},
		"shared, compared halves":  {`reduce range(100) as $i (1; [., .]) | {a: (.[0] < .[1])}`, `{}`},
		"shared, as text":          {`reduce range(100) as $i (1; [., .]) | {a: tojson}`, `{}`},
		"shared, sorted":           {`reduce range(100) as $i (1; [., .]) | {a: sort}`, `{}`},
		"shared, flat":             {`reduce range(100) as $i (1; [., .]) | {a: flatten}`, `{}`},
		"shared, walked":           {`reduce range(100) as $i (1; [., .]) | {a: [..]}`, `{}`},
		"shared, formatted":        {`reduce range(100) as $i (1; [., .]) | {a: @json}`, `{}`},
		"shared, sorted by":        {`reduce range(100) as $i (1; [., .]) | {a: sort_by(.)}`, `{}`},
		"shared, IN":               {`reduce range(100) as $i (1; [., .]) | {a: IN(.)}`, `{}`},
		"shared, subtracted":       {`reduce range(100) as $i (1; [., .]) | {a: (. - .)}`, `{}`},
		"deep":                     {`{a: (reduce range(1000000) as $i (1; [.]))}`, `{}`},
		"deep, compared":           {`reduce range(1000000) as $i (1; [.]) | {a: (. == .)}`, `{}`},
		"deep, paths":              {`reduce range(10000) as $i (1; [.]) | {a: [paths]}`, `{}`},
		"deep, updated":            {`reduce range(10000) as $i (1; [.]) | {a: (.. |= .)}`, `{}`},
		"index":                    {`{a: (.a[536870911] = 1)}`, `{}`},
		"computed index":           {`.n as $n | .a[$n] = 1`, `{"n":500000000}`},
		"computed update":          {`.n as $n | .a[$n] |= 1`, `{"n":500000000}`},
		"setpath":                  {`setpath(["a", 500000000]; 1)`, `{}`},
		"pick":                     {`pick(.a[500000000])`, `{}`},
		"transpose":                {`{a: ([range(10000) | []] + [[range(100000)]] | transpose)}`, `{}`},
		"powers":                   {`{a: (reduce range(60) as $i (10; . * .))}`, `{}`},
		"digits":                   {`{a: (("9" * 1000000) | tonumber)}`, `{}`},
		"explode":                  {`def f: explode | map(.) | implode; .a | f | {a: [range(100) as $i | explode]}`, text},
		"iterated":                 {`def f: .a[] as $x | f; f`, wide},
		"mapped":                   {`def f: map(f); .a | f`, wide},
		"recursed":                 {`def f: .. as $x | f; f`, wide},
		"contains":                 {`{a: (.a | contains(.))}`, wide},
		"indices":                  {`{a: (.a as $x | $x | indices($x[0:50000]))}`, wide},
		"indices by brackets":      {`{a: (.a as $x | $x[$x[0:50000]])}`, wide},
		"indices of text":          {`{a: (.a as $x | $x | indices($x[0:450000]))}`, text},
		"minus":                    {`{a: (.a - .a)}`, wide},
		"expression":               {`{a: (.a | test("((a{30}){30}){1}$"))}`, text},
		"gsub":                     {`{a: (.a | gsub("a"; "aaaaaaaaaaaaaaaaaaaa"))}`, text},
		"gsub of gsub":             {`{a: (reduce range(20) as $i ("a"; gsub("a"; "aaaaaaaaaa")))}`, text},
		"join":                     {`{a: (.a | join("xxxxxxxxxxxxxxxxxxxxxxxxxxxxx"))}`, wide},
		"repeated join":            {`{a: (reduce range(20) as $i ("x"; [range(10) as $j | .] | join(",")))}`, `{}`},
		"caught":                   {`def f: try ("x" * 1000000000) catch "y" | f; f`, `{}`},
		"add":                      {`{a: (reduce range(60) as $i ([1]; [., .] | add))}`, `{}`},
		"add of strings":           {`{a: (reduce range(60) as $i ("x"; [., .] | add))}`, `{}`},
		"add with argument":        {`{a: (reduce range(60) as $i ("x"; add(., .)))}`, `{}`},
		"updated by doubling":      {`.b = "x" | reduce range(60) as $i (.; .b += .b)`, `{}`},
		"merged":                   {`reduce range(100) as $i ({}; {a: ., b: .}) | {x: (. * .)}`, `{}`},
		"limit":                    {`{a: [limit(1000000000; repeat(1))]}`, `{}`},
		"until":                    {`{a: (0 | until(false; . + 1))}`, `{}`},
		"labels":                   {`def f: label $x | f; f`, `{}`},
		"ascii":                    {`{a: [.a | explode[] | [.] | implode]}`, text},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := used(t)
			got, err := mapOne(t, test.program, test.record)
			took := used(t) - began
			runtime.ReadMemStats(&after)
			t.Logf("%v, %d MiB made: %v", took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, err)
			if err == nil {
				t.Errorf("got %.100s, want an error", got)
			}
			if took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
			if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 600 {
				t.Errorf("it made %d MiB", made)
			}
		})
	}
}
