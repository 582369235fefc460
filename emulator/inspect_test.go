package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

// listing is the response of /emulator/events.
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

	// Faults do not affect the emulator's own paths.
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
	newer, _ := list(t, url+"/emulator/events?after=4")
	if !slices.Equal(newer, []string{"e4", "e5", "e5"}) {
		t.Errorf("after=4: %q", newer)
	}
	if a := send(t, "GET", url+"/emulator/events?wait=2m", ""); a.status != 400 || !strings.Contains(a.rpc(t).Error.Message, "up to 1m0s") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := send(t, "GET", url+"/emulator/events?limit=x", ""); a.status != 400 || a.rpc(t).Error.Message != "limit=x: expected a number, 0 or more" {
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

// A listing can wait for the next event, and ends when the emulator closes.
func TestListWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		emu := emulator.New(emulator.Options{Hosts: []string{"example.com"}})
		get := func(query string) (body string, took time.Duration) {
			w, begin := httptest.NewRecorder(), time.Now()
			emu.ServeHTTP(w, httptest.NewRequest("GET", "/emulator/events?"+query, nil))
			return w.Body.String(), time.Since(begin)
		}
		if body, took := get("after=0&wait=20s"); took != 20*time.Second || !strings.Contains(body, `"latest": 0`) {
			t.Errorf("with no event: %v, %s", took, body)
		}
		time.AfterFunc(5*time.Second, func() {
			emu.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", pathV3, strings.NewReader(goodV3)))
		})
		if body, took := get("after=0&wait=20s"); took != 5*time.Second || !strings.Contains(body, `"latest": 1`) || !strings.Contains(body, `"e1"`) {
			t.Errorf("with an event in 5s: %v, %s", took, body)
		}
		time.AfterFunc(time.Second, func() { emu.Close() })
		if _, took := get("after=1&wait=20s"); took != time.Second {
			t.Errorf("closed in 1s: %v", took)
		}
	})
}

// TestPage checks that the page needs no other site, and is served despite faults.
func TestPage(t *testing.T) {
	_, url := start(t, emulator.Options{Faults: emulator.Faults{All: emulator.Outage()}})
	for path, kind := range map[string]string{
		"/": "text/html", "/emulator/page.js": "text/javascript", "/emulator/page.css": "text/css", "/emulator/icon.svg": "image/svg+xml",
	} {
		a := send(t, "GET", url+path, "")
		policy := a.header.Get("Content-Security-Policy")
		switch {
		case a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), kind):
			t.Errorf("%s: %d, %s: want 200 and %s", path, a.status, a.header.Get("Content-Type"), kind)
		case !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe"):
			t.Errorf("%s: the policy is %q", path, policy)
		case path != "/emulator/icon.svg" && strings.Contains(a.body, "//www") || strings.Contains(a.body, "https://"):
			t.Errorf("%s loads something from elsewhere", path)
		}
	}
}
