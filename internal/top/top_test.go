package top

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/internal/health"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// well is a replica that reports 100 events/s of a quota of 200.
func well() *admin.Status {
	s := &admin.Status{
		Summary: health.Problem{Level: health.OK, Headline: "Reporting 100 events/s, up to date"}, Now: noon,
		Rates: health.Rates{Reported: 100}, Backlog: health.Backlog{Records: 50, Oldest: noon.Add(-3 * time.Second)},
		Recent:     health.Recent{Records: 100, DeadLetter: 1},
		Outcomes:   map[string]uint64{"reported": 1200, "dead_letter": 3},
		Partitions: make([]consumer.PartitionStatus, 6),
	}
	s.Reporter.Rate = 200
	return s
}

// broken is a replica that can't reach the API.
func broken() *admin.Status {
	s := well()
	s.Summary = health.Problem{
		Reason: health.APIUnreachable, Level: health.Bad, Headline: "Paused: the API can't be reached", Detail: "Since 11:59:00 UTC (60 s).",
		Affects: "Events wait.", Advice: "Check the \x1b[2Jnetwork.",
	}
	s.Problems = []health.Problem{s.Summary}
	s.Rates.Reported, s.Backlog.Oldest = 0, noon.Add(-time.Minute)
	return s
}

func serve(t *testing.T, s *admin.Status) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s == nil || r.URL.Path != "/status" {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(s)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestGroup: the first line sums the replicas up, each has a row, and the worst are
// explained.
func TestGroup(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	urls := []string{serve(t, well()), serve(t, broken()) + "/", gone.URL, serve(t, nil)}
	all := Ask(t.Context(), Client(), urls)
	if !Bad(all) || Bad(all[:1]) {
		t.Error("a group is bad if one of its replicas is")
	}
	text := strings.Join(Lines(all, 60), "\n")
	for _, want := range []string{
		"100 events/s   lag 60 s (100 records)   1.0 % dead letters   25 % of quota",
		"reported 2,400   duplicates 0   dead letters 6   skipped 0",
		"Reporting 100 events/s, up to date", "Paused: the API can't be reached", "connection refused", "no answer: it answers 404",
		"Since 11:59:00 UTC (60 s).", `What to do: Check the \x1b[2Jnetwork.`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not show %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("it passes an escape sequence on")
	}
	if lines := Lines(all, 8); len(lines) != 8 || !strings.HasPrefix(lines[7], "… ") {
		t.Errorf("in 8 rows: %q", lines)
	}
	line := Line(all, noon)
	if !strings.HasPrefix(line, "2026-01-02T12:00:00Z  2/4 replicas  100 events/s") || !strings.Contains(line, "no answer") || strings.Contains(line, "\n") {
		t.Errorf("the line is %q", line)
	}
}

// TestOneReplica: a single replica needs no table.
func TestOneReplica(t *testing.T) {
	lines := Lines([]Replica{{URL: "http://a:9090", Status: broken()}}, 24)
	if text := strings.Join(lines, "\n"); strings.Contains(text, "REPLICA") || !strings.Contains(text, "\nPaused: the API can't be reached\nSince 11:59:00") {
		t.Errorf("it shows\n%s", text)
	}
	for _, line := range lines {
		if len([]rune(line)) > 90 {
			t.Errorf("a line of %d characters: %s", len(line), line)
		}
	}
	unread := well()
	unread.Backlog.Oldest = time.Time{}
	if line := Line([]Replica{{Status: unread}}, noon); !strings.Contains(line, "lag not read (50 records)") {
		t.Errorf("records that can't be read: %q", line)
	}
}
