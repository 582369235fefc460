package validate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/validate"
)

// line is an event of v3, created at second at.
func line(id, parent, typ string, at int) string {
	return fmt.Sprintf(`{"eventId":%q,"parentEventId":%q,"requestId":"r","createTime":"2026-01-02T03:04:%02dZ","jobEvent":{"type":%q,"jobs":["projects/p/jobs/j"]}}`,
		id, parent, at, typ)
}

func lines(all ...string) string { return strings.Join(all, "\n") + "\n" }

// sources yields the texts as a.json, b.json and so on.
func sources(texts ...string) iter.Seq2[validate.Source, error] {
	return func(yield func(validate.Source, error) bool) {
		for i, text := range texts {
			if !yield(validate.Source{Name: string(rune('a'+i)) + ".json", Reader: strings.NewReader(text)}, nil) {
				return
			}
		}
	}
}

func TestValidate(t *testing.T) {
	impression := line("i", "", "IMPRESSION", 1)
	view := line("v", "i", "VIEW", 2)
	apply := line("a", "v", "APPLICATION_START", 3)
	tests := []struct {
		name     string
		complete bool
		in       []string
		want     []string // faults: NAME:LINE: reason: and a part of the detail
	}{
		{"nothing", true, nil, nil},
		{"an empty file", true, []string{"", "\n\n"}, nil},
		{"a journey", true, []string{lines(impression, view, apply)}, nil},
		{"a journey over files", true, []string{lines(impression), lines(view), lines(apply)}, nil},
		{"a journey backwards", true, []string{lines(apply), lines(view, impression)}, nil},
		{"a parent that is elsewhere", false, []string{lines(view, apply)}, nil},
		{"a parent that should be here", true, []string{lines(view, apply)}, []string{"a.json:1: parent_not_found: parentEventId"}},
		{
			"orphans in order", true,
			[]string{lines(line("1", "x", "VIEW", 1), line("2", "y", "VIEW", 1)), lines(line("3", "x", "VIEW", 1))},
			[]string{"a.json:1: parent_not_found", "a.json:2: parent_not_found", "b.json:1: parent_not_found"},
		},

		{
			"faults of form", false,
			[]string{lines(`{`, impression, "", `{"x":1}`), lines("[]")},
			[]string{"a.json:1: malformed: not JSON", "a.json:4: unknown_field: \"x\"", "b.json:1: malformed: expected one JSON object, got a list"},
		},
		{"CRLF", true, []string{strings.ReplaceAll(lines(impression, "", view, `{"eventId":1}`), "\n", "\r\n")}, []string{"a.json:4: invalid_field"}},
		{"own parent", true, []string{lines(line("x", "x", "VIEW", 1))}, []string{"a.json:1: self_parent"}},

		{"the same twice", true, []string{lines(impression, impression, view), lines(impression, view)}, nil},
		{"the same in another spelling", false, []string{lines(impression, strings.NewReplacer("eventId", "event_id", "03:04:01Z", "04:04:01.000+01:00").Replace(impression))}, nil},
		{
			"an id with different content", false,
			[]string{lines(impression), lines("", line("i", "", "IMPRESSION", 2))},
			[]string{"b.json:2: id_conflict: the eventId stands at a.json:1 already, with different content"},
		},
		{
			"a conflict is measured by the first", false,
			[]string{lines(impression, line("i", "", "VIEW", 1), impression, line("i", "", "VIEW", 1))},
			[]string{"a.json:2: id_conflict", "a.json:4: id_conflict"},
		},
		{"what is in conflict is no parent", false, []string{lines(impression, line("i", "", "HIRED", 1), view)}, []string{"a.json:2: id_conflict"}},
		{"what is at fault is not remembered", false, []string{lines(strings.Replace(impression, "IMPRESSION", "GLANCE", 1), impression, view)}, []string{"a.json:1: invalid_type"}},
		{
			"a parent at fault is none", true,
			[]string{lines(strings.Replace(impression, "IMPRESSION", "GLANCE", 1), view)},
			[]string{"a.json:1: invalid_type", "a.json:2: parent_not_found"},
		},

		{
			"a parent of the wrong type", false,
			[]string{lines(impression, line("a", "i", "APPLICATION_START", 2))},
			[]string{"a.json:2: parent_mismatch: APPLICATION_START can't follow an IMPRESSION"},
		},
		{
			"a parent of the wrong type that comes later", false,
			[]string{lines(line("a", "i", "APPLICATION_START", 2), view), lines(impression)},
			[]string{"a.json:1: parent_mismatch: APPLICATION_START can't follow an IMPRESSION"},
		},
		{
			"children of a later parent", false,
			[]string{lines(line("a", "i", "HIRED", 2), line("b", "i", "VIEW", 2), line("c", "i", "SENT_CV", 2), impression)},
			[]string{"a.json:1: parent_mismatch", "a.json:3: parent_mismatch"},
		},
		{
			"a mismatch does not spread", true,
			[]string{lines(impression, line("a", "i", "APPLICATION_START", 2), line("f", "a", "APPLICATION_FINISH", 3))},
			[]string{"a.json:2: parent_mismatch"},
		},
		{"a parent within the clocks' skew", true, []string{lines(line("i", "", "IMPRESSION", 10), line("v", "i", "VIEW", 5))}, nil},
		{
			"a parent that is too young", true,
			[]string{lines(line("i", "", "IMPRESSION", 11), line("v", "i", "VIEW", 5))},
			[]string{"a.json:2: parent_mismatch: the parent was created at 2026-01-02T03:04:11Z, after its child"},
		},
		{"a copy of a waiting child", false, []string{lines(line("a", "i", "HIRED", 2), line("a", "i", "HIRED", 2), impression)}, []string{"a.json:1: parent_mismatch"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			result, err := validate.Validate(t.Context(), sources(test.in...), validate.Options{Version: event.V3, Complete: test.complete}, printed(&out))
			if err != nil {
				t.Fatal(err)
			}
			checkFaults(t, out.String(), test.want)
			if result.Faults != len(test.want) || result.Forgot {
				t.Errorf("result %+v, want %d faults", result, len(test.want))
			}
			events := 0
			for _, text := range test.in {
				for l := range strings.Lines(text) {
					if strings.TrimSpace(l) != "" {
						events++
					}
				}
			}
			if result.Events != events {
				t.Errorf("%d events, want %d", result.Events, events)
			}
		})
	}
}

func checkFaults(t *testing.T, out string, want []string) {
	t.Helper()
	got := strings.SplitAfter(out, "\n")
	got = got[:len(got)-1]
	if len(got) != len(want) {
		t.Fatalf("faults:\n%s\nwant %d: %q", out, len(want), want)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("fault %d is %q, want %q…", i, got[i], want[i])
		}
	}
}

// TestVersions: the rules are those of the version.
func TestVersions(t *testing.T) {
	for v, want := range map[event.Version]int{event.V3: 0, event.V4Beta1: 0, event.V4: 1} {
		result, err := validate.Validate(t.Context(), sources(lines(line("v", "", "VIEW", 1))), validate.Options{Version: v}, printed(io.Discard))
		if err != nil || result.Faults != want {
			t.Errorf("%s: %+v, %v", v, result, err)
		}
	}
}

// TestGeneratedJourneys: what the generator writes has no fault, and is complete.
func TestGeneratedJourneys(t *testing.T) {
	for _, v := range event.Versions() {
		var in []byte
		n := 0
		for e := range journey.New(journey.Options{Seed: 7, Version: v}).Events() {
			in = append(e.AppendRecord(in), '\n')
			if n++; n == 3000 {
				break
			}
		}
		var out bytes.Buffer
		result, err := validate.Validate(t.Context(), sources(string(in)), validate.Options{Version: v, Complete: true}, printed(&out))
		if err != nil || result.Faults != 0 || result.Events != n {
			t.Errorf("%s: %+v, %v\n%s", v, result, err, out.String())
		}
	}
}

// TestForgets: of more events than are remembered, near ones are compared all
// the same, and far ones may not be.
func TestForgets(t *testing.T) {
	const remember, n = 100, 1000
	var in []string
	for i := range n {
		in = append(in, line(fmt.Sprint("i", i), "", "IMPRESSION", 1))
		if i >= remember/2-1 {
			// As far back as half of what is remembered.
			in = append(in, line(fmt.Sprint("v", i), fmt.Sprint("i", i-remember/4+1), "VIEW", 2))
		}
	}
	for _, complete := range []bool{false, true} {
		var out bytes.Buffer
		result, err := validate.Validate(t.Context(), sources(lines(in...)), validate.Options{Version: event.V3, Complete: complete, Remember: remember}, printed(&out))
		if err != nil || result.Faults != 0 || !result.Forgot {
			t.Errorf("%+v, %v\n%.300s", result, err, out.String())
		}
	}

	// A conflict within reach is found; one far off is not, but is no error.
	in = append(in, line(fmt.Sprint("i", n-1), "", "VIEW", 9), line("i0", "", "VIEW", 9), line("far", "i1", "VIEW", 2))
	last := len(in)
	var out bytes.Buffer
	if _, err := validate.Validate(t.Context(), sources(lines(in...)), validate.Options{Version: event.V3, Complete: true, Remember: remember}, printed(&out)); err != nil {
		t.Fatal(err)
	}
	checkFaults(t, out.String(), []string{
		fmt.Sprintf("a.json:%d: id_conflict", last-2),
		fmt.Sprintf("a.json:%d: parent_not_found: parentEventId names no valid event among the 50 around this one", last),
	})
}

// TestOrphansAreReportedOnce has many children of one parent that never comes,
// more than are remembered.
func TestOrphansAreReportedOnce(t *testing.T) {
	const n = 500
	var in []string
	for i := range n {
		in = append(in, line(fmt.Sprint("v", i), "never", "VIEW", 1))
	}
	for _, remember := range []int{1, 2, 7, 100, 0} {
		var out bytes.Buffer
		result, err := validate.Validate(t.Context(), sources(lines(in...)), validate.Options{Version: event.V3, Complete: true, Remember: remember}, printed(&out))
		if err != nil || result.Faults != n {
			t.Errorf("remembering %d: %+v, %v", remember, result, err)
		}
		for i := range n {
			if c := strings.Count(out.String(), fmt.Sprintf("a.json:%d: parent_not_found", i+1)); c != 1 {
				t.Fatalf("remembering %d: line %d is reported %d times", remember, i+1, c)
			}
		}
	}
}

// TestMemoryIsBounded: a stream of children without parents takes no more than
// what is remembered of them.
func TestMemoryIsBounded(t *testing.T) {
	const n, remember = 40_000, 1000
	r, w := io.Pipe()
	go func() {
		for i := range n {
			if _, err := io.WriteString(w, line(fmt.Sprint("id", i), fmt.Sprint("parent", i), "VIEW", 1)+"\n"); err != nil {
				return
			}
		}
		w.Close()
	}()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	grown := uint64(0)
	one := func(yield func(validate.Source, error) bool) {
		yield(validate.Source{Name: "stream", Reader: &everyMegabyte{r: r, do: func() {
			runtime.GC()
			runtime.ReadMemStats(&after)
			grown = max(grown, after.HeapAlloc-min(after.HeapAlloc, before.HeapAlloc))
		}}}, nil)
	}
	result, err := validate.Validate(t.Context(), one, validate.Options{Version: event.V3, Remember: remember}, printed(io.Discard))
	if err != nil || result.Events != n {
		t.Fatalf("%+v, %v", result, err)
	}
	if grown == 0 || grown > 3<<20 {
		t.Errorf("the heap grew by %d bytes over %d events", grown, n)
	}
}

// everyMegabyte calls do between reads.
type everyMegabyte struct {
	r        io.Reader
	n, calls int
	do       func()
}

func (e *everyMegabyte) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if e.n += n; e.n>>20 > e.calls {
		e.calls++
		e.do()
	}
	return n, err
}

func TestErrors(t *testing.T) {
	broken := errors.New("broken")
	o := validate.Options{Version: event.V3}
	t.Run("a reader's", func(t *testing.T) {
		source := func(yield func(validate.Source, error) bool) {
			yield(validate.Source{Name: "a.json", Reader: io.MultiReader(strings.NewReader("{}\n"), iotest.ErrReader(broken))}, nil)
		}
		result, err := validate.Validate(t.Context(), source, o, printed(io.Discard))
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "a.json, line 2") || result.Faults != 1 {
			t.Errorf("%+v, %v", result, err)
		}
	})
	t.Run("a source's", func(t *testing.T) {
		source := func(yield func(validate.Source, error) bool) { yield(validate.Source{}, broken) }
		if _, err := validate.Validate(t.Context(), source, o, printed(io.Discard)); !errors.Is(err, broken) {
			t.Error(err)
		}
	})
	t.Run("the writer's", func(t *testing.T) {
		r, w := io.Pipe()
		r.CloseWithError(broken)
		result, err := validate.Validate(t.Context(), sources(strings.Repeat("{}\n", 100)), o, printed(w))
		if !errors.Is(err, broken) || result.Events != 1 {
			t.Errorf("%+v, %v", result, err)
		}
	})
	t.Run("the context's", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := validate.Validate(ctx, sources("{}\n"), o, printed(io.Discard)); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// printed writes each finding as a line.
func printed(w io.Writer) func(validate.Finding) error {
	return func(f validate.Finding) error {
		_, err := fmt.Fprintln(w, f)
		return err
	}
}
