package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/emulator"
)

// listing is the answer of /emulator/events.
type listing struct {
	Events []struct {
		Time, Version, Parent string
		Part                  int
		Duplicate             bool
		Event                 struct {
			RequestID, EventID, CreateTime string
			JobEvent                       struct {
				Type string
				Jobs []string
			}
		}
	}
}

func list(t *testing.T, url string) (ids []string, all listing) {
	t.Helper()
	a := send(t, "GET", url, "")
	if a.status != 200 {
		t.Fatalf("status %d:\n%s", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &all); err != nil {
		t.Fatal(err)
	}
	for _, e := range all.Events {
		ids = append(ids, e.Event.EventID)
	}
	return ids, all
}

func TestInspect(t *testing.T) {
	emu, url := start(t, emulator.Options{Keep: 4, Faults: emulator.Faults{}})
	for i := range 6 {
		body := strings.NewReplacer(`"e1"`, fmt.Sprintf(`"e%d"`, i), `"rq"`, fmt.Sprintf(`"rq%d"`, i%2)).Replace(goodV3)
		send(t, "POST", url+pathV3, body)
	}
	send(t, "POST", url+pathV4, strings.Replace(goodV4Event, `"e1"`, `"e5"`, 1))
	send(t, "POST", url+pathV4, "{}")

	// Faults leave the emulator's own pages alone.
	emu.SetFaults(emulator.Faults{All: emulator.Outage()})
	for query, want := range map[string][]string{
		"":                       {"e5", "e5", "e4", "e3"},
		"?limit=2":               {"e5", "e5"},
		"?limit=0":               nil,
		"?requestId=rq1":         {"e5", "e3"},
		"?requestId=rq1&limit=1": {"e5"},
		"?requestId=none":        nil,
	} {
		if got, _ := list(t, url+"/emulator/events"+query); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	_, all := list(t, url+"/emulator/events?limit=1")
	newest := all.Events[0]
	if !newest.Duplicate || newest.Version != "v4" || newest.Parent != "projects/p1/tenants/t1" || newest.Time == "" ||
		newest.Event.JobEvent.Type != "VIEW" || newest.Event.CreateTime != "2026-01-02T03:04:05.678Z" {
		t.Errorf("newest: %+v", newest)
	}
	if a := send(t, "GET", url+"/emulator/events?limit=x", ""); a.status != 400 || a.rpc(t).Error.Message != "limit=x: want a number, 0 or more" {
		t.Errorf("%d %s", a.status, a.body)
	}

	var stats emulator.Stats
	if err := json.Unmarshal([]byte(send(t, "GET", url+"/emulator/stats", "").body), &stats); err != nil {
		t.Fatal(err)
	}
	if stats.Accepted != 7 || stats.Duplicates != 1 || stats.Requests != 8 || !maps.Equal(stats.Refused, map[int]int64{400: 1}) ||
		stats.ByType["v3"]["VIEW"] != 6 || stats.ByType["v4"]["VIEW"] != 1 {
		t.Errorf("stats: %+v", stats)
	}

	if a := send(t, "DELETE", url+"/emulator/events", ""); a.status != 200 {
		t.Errorf("DELETE: %d", a.status)
	}
	if got, _ := list(t, url+"/emulator/events"); got != nil {
		t.Errorf("after DELETE: %q", got)
	}
	if s := emu.Stats(); s.Accepted != 0 || s.Requests != 0 || len(s.Refused) != 0 || len(s.ByType) != 0 {
		t.Errorf("after DELETE: %+v", s)
	}
}

func TestKeepNone(t *testing.T) {
	emu, url := start(t, emulator.Options{Keep: -1})
	send(t, "POST", url+pathV3, goodV3)
	if n := len(emu.Events()); n != 0 || emu.Stats().Accepted != 1 {
		t.Errorf("%d kept of %d", n, emu.Stats().Accepted)
	}
}

func TestWaitAccepted(t *testing.T) {
	emu, url := start(t, emulator.Options{})
	waited := make(chan error)
	go func() { waited <- emu.WaitAccepted(t.Context(), 2) }()
	send(t, "POST", url+pathV3, goodV3)
	send(t, "POST", url+pathV3, goodV3)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := emu.WaitAccepted(ctx, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
