package main

import (
	"os"
	"slices"
	"testing"
)

func TestCompare(t *testing.T) {
	before := map[string]cost{"a x": {5, 880}, "a y": {100, 5000}, "a gone": {1, 1}}
	now := map[string]cost{"a x": {7, 880}, "a y": {110, 7600}, "a new": {}}
	want := []string{"a new: new", "a x: 7 allocations, before 5", "a y: 7600 bytes, before 5000", "a gone: gone"}
	if got := compare(before, now); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := compare(before, before); len(got) > 0 {
		t.Errorf("the same differs: %q", got)
	}
}

func TestParseLine(t *testing.T) {
	name, c, ok := parseLine("BenchmarkDecode/view-342B-2   500   1139 ns/op   300.15 MB/s   880 B/op   5 allocs/op")
	if !ok || name != "Decode/view-342B" || c != (cost{5, 880}) {
		t.Errorf("got %q, %v, %v", name, c, ok)
	}
	if _, _, ok := parseLine("ok  	github.com/clientevents/clientevents/event	1.742s"); ok {
		t.Error("a line without a benchmark is one")
	}
}

// TestFile: the file is what format writes, and parse reads it.
func TestFile(t *testing.T) {
	text, err := os.ReadFile("allocations.txt")
	if err != nil {
		t.Fatal(err)
	}
	costs, err := parse(text)
	if err != nil || len(costs) < 20 {
		t.Fatalf("%d benchmarks, %v", len(costs), err)
	}
	if got := format(costs); string(got) != string(text) {
		t.Errorf("format(parse(file)):\n%s\nthe file:\n%s", got, text)
	}
}
