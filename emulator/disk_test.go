package emulator_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

// With this variable the test binary runs an emulator with the folder that it names.
const serveVariable = "TEST_EMULATOR_DATA"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveVariable); dir != "" {
		serveFrom(dir)
		return
	}
	os.Exit(m.Run())
}

func serveFrom(dir string) {
	emu, err := emulator.Open(emulator.Options{DataDir: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("http://" + listener.Addr().String())
	if err := emu.Serve(context.Background(), listener); err != nil {
		fmt.Println(err)
	}
}

// process is an emulator in a separate process.
type process struct {
	cmd *exec.Cmd
	url string
}

func startProcess(t *testing.T, dir string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // an error says that it has ended
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil || !strings.HasPrefix(string(line), "http://") {
		t.Fatalf("the emulator did not start: %q, %v", line[:n], err)
	}
	return &process{cmd, strings.TrimSpace(string(line[:n]))}
}

// kill ends the process with SIGKILL.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // that it was killed
}

// An emulator that was killed while it wrote has all acknowledged changes after a
// restart.
func TestKilledWhileWriting(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]string{} // titles by job; "" for deleted
	events := map[string]bool{}         // ids
	var mu sync.Mutex
	company, requestID := "", ""
	for round := range 5 {
		p := startProcess(t, dir)
		a := versions(t, p.url)["v4"]
		if round == 0 {
			company = a.company("acme")
			requestID = a.search(nil, nil)["metadata"].(object)["requestId"].(string)
		}
		verify(t, a, acknowledged)
		verifyEvents(t, p.url, events)

		var writers sync.WaitGroup
		var done atomic.Int64
		enough := make(chan struct{})
		for writer := range 4 {
			writers.Go(func() {
				for i := 0; ; i++ {
					name, ok := writeJob(a, company, fmt.Sprintf("%d-%d-%d", round, writer, i))
					if !ok {
						return
					}
					title := "created"
					mu.Lock()
					acknowledged[name] = title
					mu.Unlock()
					switch i % 3 {
					case 1:
						title, ok = "patched", tryOK(a, "PATCH", name+"?updateMask=title", `{"title":"patched"}`)
					case 2:
						title, ok = "", tryOK(a, "DELETE", name, "")
					}
					mu.Lock()
					if acknowledged[name] = title; !ok {
						delete(acknowledged, name) // either may be so
					}
					mu.Unlock()
					if !ok {
						return
					}
					id := fmt.Sprintf("%d-%d-%d", round, writer, i)
					if !tryOK(a, "POST", a.parent+"/clientEvents", strings.Replace(goodV4Event, `"e1"`, `"`+id+`"`, 1)) {
						return
					}
					mu.Lock()
					events[id] = true
					mu.Unlock()
					if done.Add(1) == 20 {
						close(enough)
					}
				}
			})
		}
		ended := make(chan struct{})
		go func() {
			writers.Wait()
			close(ended)
		}()
		select {
		case <-enough:
		case <-ended:
			t.Fatal("the emulator takes no writes")
		}
		p.kill(t)
		<-ended
	}
	p := startProcess(t, dir)
	a := versions(t, p.url)["v4"]
	verify(t, a, acknowledged)
	verifyEvents(t, p.url, events)
	if len(acknowledged) < 100 {
		t.Errorf("only %d jobs were written", len(acknowledged))
	}
	// Request IDs from before are still known.
	event := object{
		"eventId": "e", "requestId": requestID, "createTime": "2026-01-02T03:04:05Z",
		"jobEvent": object{"type": "VIEW", "jobs": []string{a.parent + "/jobs/1"}},
	}
	a.ok("POST", a.parent+"/clientEvents", event)
	if got := send(t, "GET", p.url+"/emulator/events?limit=1", "").body; strings.Contains(got, "had this id") || !strings.Contains(got, "there is no job") {
		t.Errorf("the event is listed as %s", got)
	}
}

func writeJob(a *api, company, requisition string) (name string, ok bool) {
	body := fmt.Sprintf(`{"company":%q,"requisitionId":%q,"title":"created","description":"d"}`, company, requisition)
	got, err := try(a, "POST", a.parent+"/jobs", body)
	if err != nil {
		return "", false
	}
	return got["name"].(string), true
}

func tryOK(a *api, method, path, body string) bool {
	_, err := try(a, method, path, body)
	return err == nil
}

// verify checks that the jobs have their acknowledged state.
func verify(t *testing.T, a *api, acknowledged map[string]string) {
	t.Helper()
	for name, title := range acknowledged {
		status, job := a.do("GET", name, nil)
		switch {
		case title == "" && status != 404:
			t.Errorf("%s was deleted, and is there again: %v", name, job)
		case title != "" && job["title"] != title:
			t.Errorf("%s should be %q: %d %v", name, title, status, job)
		}
	}
}

// verifyEvents checks that each acknowledged event is stored once.
func verifyEvents(t *testing.T, url string, acknowledged map[string]bool) {
	t.Helper()
	ids, all := list(t, url+"/emulator/events")
	for id := range acknowledged {
		if !slices.Contains(ids, id) {
			t.Errorf("event %s is gone", id)
		}
	}
	slices.Sort(ids)
	if len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("events are there twice: %q", ids)
	}
	for _, e := range all.Events {
		if e.Version != "v4" || e.Parent != "projects/p1/tenants/t1" && e.Parent != "projects/p/tenants/default" || e.Event.JobEvent.Type != "VIEW" {
			t.Errorf("an event is %+v", e)
		}
	}
}

// A catalog has the same content after a stop.
func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	c := &clock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	open := func() (*emulator.Emulator, *api) {
		emu, url := start(t, emulator.Options{DataDir: dir, Now: c.now})
		return emu, versions(t, url)["v4"]
	}
	emu, a := open()
	tenant := *a
	tenant.parent = a.ok("POST", "projects/p/tenants", object{"externalId": "north"})["name"].(string)
	company := tenant.company("acme")
	job := tenant.createJob(company, object{"addresses": []string{"Paris, France"}, "promotionValue": 3})
	brief := tenant.createJob(company, object{"requisitionId": "brief", "postingExpireTime": "2026-01-02T00:00:00Z"})
	born := tenant.createJob(company, object{
		"requisitionId": "born", "postingPublishTime": "2025-12-01T00:00:00Z", "postingExpireTime": "2025-12-02T00:00:00Z",
	})
	operation := tenant.ok("POST", tenant.parent+"/jobs:batchDelete", object{"names": []any{tenant.parent + "/jobs/1"}})["name"].(string)
	if _, err := emulator.Open(emulator.Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second emulator in the same folder: %v", err)
	}
	if err := emu.Close(); err != nil {
		t.Fatal(err)
	}

	c.forward(10 * day)
	_, a = open()
	tenant.url = a.url
	if got := tenant.getJob(job["name"]); fmt.Sprint(got) != fmt.Sprint(job) {
		t.Errorf("got %v\nwant %v", got, job)
	}
	if got := tenant.list(`requisitionId = "brief"`); got != nil {
		t.Errorf("expired while closed, but listed: %q", got)
	}
	tenant.refusedPatch(born["name"], object{"title": "x"}, "title", "FAILED_PRECONDITION", "")
	tenant.refusedJob(company, nil, "ALREADY_EXISTS", "")
	tenant.refused("POST", tenant.parent+"/companies", object{"displayName": "Acme", "externalId": "acme"}, "ALREADY_EXISTS", "company.external_id")
	tenant.ok("GET", operation, nil)
	next := tenant.createJob(company, object{"requisitionId": "next"})["name"].(string)
	if got := tenant.list(fmt.Sprintf(`companyName = %q AND status = "ALL"`, company)); !slices.Equal(got, names([]any{job, brief, born, object{"name": next}})) {
		t.Errorf("in order: %q", got)
	}
}

// The folder has the same events as the emulator.
func TestReopenWithEvents(t *testing.T) {
	dir := t.TempDir()
	open := func(keep int) (*emulator.Emulator, string) {
		return start(t, emulator.Options{DataDir: dir, Keep: keep})
	}
	emu, url := open(3)
	for i := range 5 {
		send(t, "POST", url+pathV3, strings.Replace(goodV3, `"e1"`, fmt.Sprintf(`"e%d"`, i), 1))
	}
	before := send(t, "GET", url+"/emulator/events", "").body
	emu.Close()

	emu, url = open(10)
	if got := send(t, "GET", url+"/emulator/events", "").body; len(emu.Events()) != 3 || got != before {
		t.Errorf("got %s\nwant %s", got, before)
	}
	send(t, "POST", url+pathV3, strings.Replace(goodV3, `"e1"`, `"e4"`, 1))
	if got, latest := emu.EventsAfter(5); len(got) != 1 || latest != 6 || !got[0].Duplicate {
		t.Errorf("the next: %v, %d", got, latest)
	}
	emu.Close()

	emu, _ = open(2)
	if got, _ := emu.EventsAfter(0); len(got) != 2 || got[0].Number != 5 {
		t.Errorf("with fewer to keep: %v", got)
	}
	emu.Reset()
	emu.Close()
	if emu, _ = open(2); len(emu.Events()) != 0 {
		t.Errorf("after a reset: %v", emu.Events())
	}
}
