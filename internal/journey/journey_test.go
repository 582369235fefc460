package journey_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
)

var start = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// first takes the first n of a sequence.
func first[T any](n int, seq iter.Seq[T]) []T {
	all := make([]T, 0, n)
	for v := range seq {
		if len(all) == n {
			break
		}
		all = append(all, v)
	}
	return all
}

// written is an event as it stands in a record, read by nothing of ours.
type written struct {
	EventID       string            `json:"eventId"`
	RequestID     string            `json:"requestId"`
	ParentEventID string            `json:"parentEventId"`
	CreateTime    time.Time         `json:"createTime"`
	ExtraInfo     map[string]string `json:"extraInfo"`
	EventNotes    string            `json:"eventNotes"`
	JobEvent      struct {
		Type string   `json:"type"`
		Jobs []string `json:"jobs"`
	} `json:"jobEvent"`
}

func read(t *testing.T, line []byte) written {
	t.Helper()
	var w written
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return w
}

// mayFollow is which types lead to which, as the API's documents tell it.
var mayFollow = map[string][]string{
	"IMPRESSION":                       {""},
	"NOTIFICATION":                     {""},
	"VIEW":                             {"IMPRESSION", "NOTIFICATION"},
	"VIEW_REDIRECT":                    {"IMPRESSION", "NOTIFICATION"},
	"BOOKMARK":                         {"IMPRESSION", "NOTIFICATION", "VIEW"},
	"NOT_INTERESTED":                   {"IMPRESSION", "NOTIFICATION"},
	"APPLICATION_START":                {"VIEW"},
	"APPLICATION_FINISH":               {"APPLICATION_START", "APPLICATION_START_FROM_SEARCH"},
	"APPLICATION_QUICK_SUBMISSION":     {"VIEW"},
	"APPLICATION_REDIRECT":             {"VIEW"},
	"APPLICATION_COMPANY_SUBMIT":       {"VIEW"},
	"SENT_CV":                          {"VIEW"},
	"APPLICATION_START_FROM_SEARCH":    {"IMPRESSION"},
	"APPLICATION_REDIRECT_FROM_SEARCH": {"IMPRESSION"},
	"INTERVIEW_GRANTED":                {"APPLICATION_FINISH", "APPLICATION_QUICK_SUBMISSION", "APPLICATION_COMPANY_SUBMIT", "SENT_CV"},
	"HIRED":                            {"INTERVIEW_GRANTED"},
}

var (
	uuid      = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	requestID = regexp.MustCompile(`^[0-9a-f-]{36}:[A-Za-z0-9+/]+=*$`)
)

func TestEvents(t *testing.T) {
	const n = 8_000
	for _, test := range []struct {
		version event.Version
		parent  string
		job     string // what job names begin with
		types   int
	}{
		{event.V3, "", "projects/demo/jobs/", 16},
		{event.V3, "projects/my-board", "projects/my-board/jobs/", 16},
		{event.V4Beta1, "", "projects/demo/jobs/", 15},
		{event.V4Beta1, "projects/p/tenants/t", "projects/p/tenants/t/jobs/", 15},
		{event.V4, "", "projects/demo/tenants/demo/jobs/", 15},
	} {
		t.Run(fmt.Sprint(test.version, test.parent), func(t *testing.T) {
			g := journey.New(journey.Options{Seed: 5, Version: test.version, Parent: test.parent, Start: start})
			before := map[string]written{}
			count := map[string]int{}
			info, notes, previous := 0, 0, start
			for _, e := range first(n, g.Events()) {
				line := e.AppendRecord(nil)
				if _, fault := event.Decode(line, test.version); fault != nil {
					t.Fatalf("%s: %v", line, fault)
				}
				w := read(t, line)
				if _, twice := before[w.EventID]; twice || !uuid.MatchString(w.EventID) {
					t.Fatalf("eventId %q is no UUID, or there twice", w.EventID)
				}
				if !requestID.MatchString(w.RequestID) {
					t.Fatalf("requestId %q is not like a search's", w.RequestID)
				}
				parent := before[w.ParentEventID] // of type "" for none
				if w.ParentEventID != "" && parent.EventID == "" {
					t.Fatalf("%s comes before its parent", line)
				}
				if !slices.Contains(mayFollow[w.JobEvent.Type], parent.JobEvent.Type) {
					t.Fatalf("%s follows %q", line, parent.JobEvent.Type)
				}
				if w.CreateTime.Before(previous) || !w.CreateTime.After(parent.CreateTime) {
					t.Fatalf("%s is earlier than the event before it or its parent", line)
				}
				previous = w.CreateTime
				if parent.EventID != "" {
					if w.RequestID != parent.RequestID {
						t.Fatalf("%s is of another search than its parent", line)
					}
					if len(w.JobEvent.Jobs) != 1 || !slices.Contains(parent.JobEvent.Jobs, w.JobEvent.Jobs[0]) {
						t.Fatalf("%s is of a job that its parent did not show", line)
					}
				}
				for i, name := range w.JobEvent.Jobs {
					if slices.Contains(w.JobEvent.Jobs[:i], name) {
						t.Fatalf("%s shows a job twice", line)
					}
					if id, ok := strings.CutPrefix(name, test.job); !ok || id == "" || strings.Contains(id, "/") {
						t.Fatalf("job %q", name)
					}
				}
				if shown := len(w.JobEvent.Jobs); w.JobEvent.Type == "IMPRESSION" && (shown < 5 || shown > 20) {
					t.Fatalf("%d jobs in an impression", shown)
				}
				if len(w.ExtraInfo) > 0 {
					info++
				}
				if w.EventNotes != "" {
					notes++
				}
				count[w.JobEvent.Type]++
				before[w.EventID] = w
			}
			if len(count) != test.types {
				t.Errorf("%d types occur, want %d: %v", len(count), test.types, count)
			}
			if v3 := test.version == event.V3; v3 != (info > 0) || v3 == (notes > 0) {
				t.Errorf("%d events with extraInfo, %d with eventNotes", info, notes)
			}
			if count["VIEW"] < count["APPLICATION_START"] || count["APPLICATION_START"]+count["APPLICATION_START_FROM_SEARCH"] < count["APPLICATION_FINISH"] || count["APPLICATION_FINISH"] < count["HIRED"] {
				t.Errorf("not like people: %v", count)
			}
		})
	}
}

// A few jobs get much of the interest.
func TestJobsAreNotEquallyPopular(t *testing.T) {
	views := map[string]int{}
	all := 0
	for _, e := range first(20_000, journey.New(journey.Options{Seed: 1, Version: event.V3, Start: start}).Events()) {
		if e.Type == event.View {
			views[e.Jobs[0]]++
			all++
		}
	}
	counts := make([]int, 0, len(views))
	for _, n := range views {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	top := 0
	for _, n := range counts[len(counts)-len(counts)/20:] {
		top += n
	}
	if top < all/3 {
		t.Errorf("the most popular 5 %% of %d jobs have %d of %d views", len(views), top, all)
	}
}

func TestJourneysInterleave(t *testing.T) {
	switches, previous := 0, ""
	const n = 10_000
	for _, e := range first(n, journey.New(journey.Options{Seed: 1, Version: event.V3, Start: start}).Events()) {
		if e.RequestID != previous {
			switches++
		}
		previous = e.RequestID
	}
	if switches < n/2 {
		t.Errorf("the journey changes %d times in %d events", switches, n)
	}
}

func lines(o journey.Options, n int) []byte {
	var b []byte
	for _, e := range first(n, journey.New(o).Events()) {
		b = append(e.AppendRecord(b), '\n')
	}
	return b
}

func TestSameSeedSameBytes(t *testing.T) {
	o := journey.Options{Seed: 7, Version: event.V3, Start: start}
	a := lines(o, 5000)
	if !bytes.Equal(a, lines(o, 5000)) {
		t.Error("the same seed gave other events")
	}
	if !bytes.HasPrefix(a, lines(o, 100)) {
		t.Error("fewer events are not the beginning of more")
	}
	o.Seed = 8
	if bytes.Equal(a, lines(o, 5000)) {
		t.Error("another seed gave the same events")
	}
}

func TestGapSetsThePace(t *testing.T) {
	for _, gap := range []time.Duration{2 * time.Millisecond, 200 * time.Millisecond} {
		const n = 10_000
		all := first(n, journey.New(journey.Options{Seed: 1, Version: event.V3, Start: start, Gap: gap}).Events())
		searches := 0
		for _, e := range all {
			if e.ParentID == "" {
				searches++
			}
		}
		mean := all[n-1].Time.Sub(start) / time.Duration(searches)
		if mean < gap*9/10 || mean > gap*11/10 {
			t.Errorf("searches are %s apart, want %s", mean, gap)
		}
	}
}

func BenchmarkEvents(b *testing.B) {
	b.ReportAllocs()
	next, stop := iter.Pull(journey.New(journey.Options{Seed: 1, Version: event.V3, Start: start}).Events())
	defer stop()
	var line []byte
	for b.Loop() {
		e, _ := next()
		line = e.AppendRecord(line[:0])
		b.SetBytes(int64(len(line)))
	}
}

// TestSearchesAreTheBoards: with a job board, journeys are about what its
// answers hold, under their request ids.
func TestSearchesAreTheBoards(t *testing.T) {
	answers := map[string][]string{}
	g := journey.New(journey.Options{Seed: 1, Version: event.V3, Start: start, Search: func(most int) (string, []string) {
		id := fmt.Sprint("search-", len(answers))
		jobs := []string{id + "/jobs/1", id + "/jobs/2"}[:min(2, most)]
		answers[id] = jobs
		return id, jobs
	}})
	for _, e := range first(2000, g.Events()) {
		for _, job := range e.Jobs {
			if !slices.Contains(answers[e.RequestID], job) {
				t.Fatalf("%s of %s is about %s, which the answer does not hold", e.Type, e.RequestID, job)
			}
		}
	}
	if len(answers) < 100 {
		t.Errorf("2000 events came of %d searches", len(answers))
	}
}
