package emulator_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

// Thirty events of 9 MB at once are accepted, within the budgets for bodies and
// for kept events.
func TestLargeEventsAreBounded(t *testing.T) {
	n := 30
	if testing.Short() {
		n = 6
	}
	emu := emulator.New(emulator.Options{})
	body := `{"eventId":"e","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/tenants/t/jobs/1"]},"eventNotes":"` + strings.Repeat("x", 9<<20) + `"}`
	peak := peakHeap(func() {
		var all sync.WaitGroup
		for range n {
			all.Go(func() {
				r := httptest.NewRequest("POST", pathV4, strings.NewReader(body))
				w := &discarding{header: http.Header{}}
				if emu.ServeHTTP(w, r); w.status != 200 {
					t.Errorf("status %d", w.status)
				}
			})
		}
		all.Wait()
	})
	if peak > 600<<20 {
		t.Errorf("the heap grew by %d MB", peak>>20)
	}
	if kept := len(emu.Events()); kept != 3 || emu.Stats().Accepted != int64(n) { // 64 MiB, each about 18
		t.Errorf("%d events are kept of %d", kept, emu.Stats().Accepted)
	}
}

// discarding is a ResponseWriter that keeps only the status.
type discarding struct {
	header http.Header
	status int
}

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) WriteHeader(status int)      { d.status = status }
func (d *discarding) Write(p []byte) (int, error) { return len(p), nil }

// peakHeap returns the heap's growth while do runs, in bytes.
func peakHeap(do func()) uint64 {
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	var peak uint64
	for ticker := time.NewTicker(5 * time.Millisecond); ; {
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapInuse)
		select {
		case <-done:
			return peak - min(peak, before.HeapInuse)
		case <-ticker.C:
		}
	}
}

func TestCatalogIsBounded(t *testing.T) {
	_, url := start(t, emulator.Options{MaxBytes: 100 << 10})
	a := versions(t, url)["v4"]
	company := a.company("acme")
	long := strings.Repeat("bread ", 2000)
	first := a.createJob(company, object{"requisitionId": "1", "description": long})
	for i := 2; ; i++ {
		if i == 20 {
			t.Fatal("there is no bound")
		}
		status, answer := a.do("POST", a.parent+"/jobs", a.newJob(company, object{"requisitionId": fmt.Sprint(i), "description": long}))
		if status == 200 {
			continue
		}
		if status != 429 || answer["error"].(object)["status"] != "RESOURCE_EXHAUSTED" {
			t.Fatalf("%d %v", status, answer)
		}
		break
	}
	a.refusedPatch(first["name"], object{"description": long + long}, "description", "RESOURCE_EXHAUSTED", "")
	if got := a.getJob(first["name"].(string))["description"]; got != strings.TrimSpace(long) && got != long {
		t.Error("a refused patch changed the job")
	}
	a.ok("DELETE", first["name"].(string), nil)
	a.createJob(company, object{"requisitionId": "again", "description": long})
}

// A body that arrives too slowly is refused.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() {
			served <- emulator.New(emulator.Options{}).Serve(ctx, &oneConnection{connection: server, done: ctx.Done()})
		}()
		var writing sync.WaitGroup
		writing.Go(func() {
			fmt.Fprintf(client, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n", pathV4)
			for range 100 {
				time.Sleep(time.Second)
				if _, err := client.Write([]byte(" ")); err != nil {
					return
				}
			}
		})
		begin := time.Now()
		resp, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil || resp.StatusCode != http.StatusRequestTimeout || time.Since(begin) != 30*time.Second {
			t.Errorf("after %v: %+v, %v", time.Since(begin), resp, err)
		}
		io.Copy(io.Discard, client) // until the connection is closed
		writing.Wait()
		cancel()
		<-served
	})
}

// oneConnection is a listener with one connection.
type oneConnection struct {
	connection net.Conn
	done       <-chan struct{}
	once       sync.Once
}

func (l *oneConnection) Accept() (c net.Conn, err error) {
	l.once.Do(func() { c = l.connection })
	if c == nil {
		<-l.done
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *oneConnection) Close() error   { return nil }
func (l *oneConnection) Addr() net.Addr { return l.connection.LocalAddr() }

// Requests of other sites' pages are refused, and so is the page under unknown hosts.
func TestForeignRequests(t *testing.T) {
	emu := emulator.New(emulator.Options{Hosts: []string{"emulator"}})
	for _, tt := range []struct {
		method, target, host string
		header               map[string]string
		want                 int
	}{
		{"POST", pathV4, "127.0.0.1:8080", nil, 200},
		{"POST", pathV4, "emulator.example:8080", nil, 200},
		{"POST", pathV4, "127.0.0.1:8080", map[string]string{"Origin": "http://127.0.0.1:8080"}, 200},
		{"POST", pathV4, "127.0.0.1:8080", map[string]string{"Origin": "http://127.0.0.1:3000"}, 403},
		{"POST", pathV4, "127.0.0.1:8080", map[string]string{"Origin": "https://evil.example"}, 403},
		{"POST", pathV4, "127.0.0.1:8080", map[string]string{"Origin": "null"}, 403},
		{"POST", "/batch", "127.0.0.1:8080", map[string]string{"Origin": "https://evil.example"}, 403},
		{"DELETE", "/emulator/events", "127.0.0.1", map[string]string{"Origin": "https://evil.example"}, 403},
		{"GET", "/v4/projects/p/tenants?callback=steal", "127.0.0.1", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403},
		{"GET", "/", "127.0.0.1", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200},
		{"GET", "/emulator/stats", "127.0.0.1", map[string]string{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200},
		{"GET", "/", "evil.example", nil, 403},
		{"GET", "/emulator/events", "evil.example:8080", nil, 403},
		{"GET", "/emulator/events", "localhost.evil.example", nil, 403},
		{"GET", "/emulator/events", "localhost:8080", nil, 200},
		{"GET", "/emulator/events", "[::1]:8080", nil, 200},
		{"GET", "/emulator/events", "::1", nil, 200},
		{"GET", "/emulator/events", "EMULATOR:80", nil, 200},
		{"GET", "/", "192.168.1.2", nil, 200},
	} {
		r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(goodV4Event))
		r.Host = tt.host
		for name, value := range tt.header {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		if emu.ServeHTTP(w, r); w.Code != tt.want {
			t.Errorf("%s %s at %s, %v: %d, want %d", tt.method, tt.target, tt.host, tt.header, w.Code, tt.want)
		}
	}
}
