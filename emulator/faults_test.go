package emulator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

// pipes is a listener whose connections are pipes within the process, which work in a
// synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble serves emu within a bubble and calls test with a client of it.
func inBubble(t *testing.T, o emulator.Options, test func(*testing.T, *emulator.Emulator, *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		emu := emulator.New(o)
		listener := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- emu.Serve(ctx, listener) }()
		transport := &http.Transport{DialContext: listener.dial}
		test(t, emu, &http.Client{Transport: transport})
		transport.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func postV3(ctx context.Context, client *http.Client, id int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", "http://emulator"+pathV3,
		strings.NewReader(strings.Replace(goodV3, `"e1"`, fmt.Sprintf(`"e%d"`, id), 1)))
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

// status posts an event and returns the response's status.
func status(t *testing.T, client *http.Client, id int) int {
	t.Helper()
	resp, err := postV3(t.Context(), client, id)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestLatency(t *testing.T) {
	inBubble(t, emulator.Options{}, func(t *testing.T, emu *emulator.Emulator, client *http.Client) {
		took := func() time.Duration {
			begin := time.Now()
			if got := status(t, client, 1); got != 200 {
				t.Errorf("status %d", got)
			}
			return time.Since(begin)
		}
		if d := took(); d != 0 {
			t.Errorf("without a latency: %v", d)
		}
		emu.SetFaults(emulator.Faults{Latency: 300 * time.Millisecond})
		if d := took(); d != 300*time.Millisecond {
			t.Errorf("with a latency of 300ms: %v", d)
		}
		emu.SetFaults(emulator.Faults{Latency: time.Second, Jitter: time.Second})
		seen := map[time.Duration]bool{}
		for range 20 {
			d := took()
			if d < time.Second || d >= 2*time.Second {
				t.Errorf("with a jitter of 1s: %v", d)
			}
			seen[d] = true
		}
		if len(seen) < 10 {
			t.Errorf("%d different latencies of 20", len(seen))
		}
	})
}

func TestQuota(t *testing.T) {
	quota := emulator.Quota{Limit: 3, Window: time.Minute}
	inBubble(t, emulator.Options{Faults: emulator.Faults{Quota: quota}}, func(t *testing.T, emu *emulator.Emulator, client *http.Client) {
		expect := func(want ...int) {
			t.Helper()
			for i, w := range want {
				if got := status(t, client, i); got != w {
					t.Errorf("call %d at %v: status %d, want %d", i, time.Now(), got, w)
				}
			}
		}
		expect(200)
		time.Sleep(20 * time.Second)
		expect(200, 200, 429)
		time.Sleep(40*time.Second - time.Nanosecond)
		expect(429)
		time.Sleep(time.Nanosecond)
		expect(200, 200, 200, 429)

		// The quota did not change, so its window continues.
		emu.ChangeFaults(func(f *emulator.Faults) { f.Latency = time.Second })
		expect(429)
		emu.SetFaults(emulator.Faults{Quota: emulator.Quota{Limit: 1}})
		expect(200, 429)
		time.Sleep(time.Second)
		expect(200, 429)
		emu.SetFaults(emulator.Faults{Quota: emulator.Quota{Limit: -1}})
		expect(429)
		emu.SetFaults(emulator.Faults{})
		expect(200, 200)
	})
}

// TestQuotaOfEvents bounds only events, in single requests and batches.
func TestQuotaOfEvents(t *testing.T) {
	_, url := start(t, emulator.Options{Faults: emulator.Faults{Quota: emulator.Quota{Limit: 1, Window: time.Hour, EventsOnly: true}}})
	for i, want := range []int{200, 429} {
		if got := send(t, "POST", url+pathV3, goodV3).status; got != want {
			t.Errorf("event %d: %d, want %d", i, got, want)
		}
	}
	for range 3 {
		if got := send(t, "GET", url+"/v3/projects/p1/companies", "").status; got != 200 {
			t.Errorf("a list of companies: %d", got)
		}
	}
}

func TestQuotaAnswer(t *testing.T) {
	quota := emulator.Quota{Limit: 1, Window: time.Minute}
	inBubble(t, emulator.Options{Faults: emulator.Faults{Quota: quota}}, func(t *testing.T, _ *emulator.Emulator, client *http.Client) {
		status(t, client, 1)
		time.Sleep(48*time.Second + 500*time.Millisecond)
		resp, err := postV3(t.Context(), client, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		a := answer{resp.StatusCode, resp.Header, string(body)}
		rpc := a.rpc(t)
		const message = "Quota exceeded for quota metric 'jobs.googleapis.com/default_requests' and limit 'DefaultRequestsPerMinutePerProject' of service 'jobs.googleapis.com' for consumer 'project_number:p1'."
		if rpc.Error.Status != "RESOURCE_EXHAUSTED" || rpc.Error.Message != message {
			t.Errorf("%s %q", rpc.Error.Status, rpc.Error.Message)
		}
		if got := a.header.Get("Retry-After"); got != "12" {
			t.Errorf("Retry-After %q, want 12: 11.5 s rounded up", got)
		}
		if got := rpc.detail("RetryInfo")["retryDelay"]; got != "11.500s" {
			t.Errorf("retryDelay %v, want 11.500s", got)
		}
		info := rpc.detail("ErrorInfo")
		meta, _ := info["metadata"].(map[string]any)
		if info["reason"] != "RATE_LIMIT_EXCEEDED" || info["domain"] != "googleapis.com" || meta["consumer"] != "projects/p1" || meta["quota_limit_value"] != "1" || meta["service"] != "jobs.googleapis.com" {
			t.Errorf("ErrorInfo %v", info)
		}
		violations, _ := rpc.detail("QuotaFailure")["violations"].([]any)
		if len(violations) != 1 || violations[0].(map[string]any)["quotaValue"] != "1" {
			t.Errorf("QuotaFailure %v", violations)
		}
	})
}

// Every part counts, also one that is refused for its content.
func TestQuotaOfBatch(t *testing.T) {
	emu, url := start(t, emulator.Options{Faults: emulator.Faults{Quota: emulator.Quota{Limit: 3, Window: time.Hour}}})
	got := readBatch(t, sendBatch(t, url+"/batch", batchOf(
		post(pathV3, goodV3), post(pathV3, "{}"), post(pathV3, goodV3), post(pathV3, goodV3), post(pathV4, goodV4Event))))
	if want := []int{200, 400, 200, 429, 429}; !slices.Equal(statuses(got), want) {
		t.Errorf("statuses %v, want %v", statuses(got), want)
	}
	throttled := got[3].answer
	if throttled.header.Get("Retry-After") == "" || throttled.rpc(t).detail("RetryInfo") == nil {
		t.Errorf("a part without retry information: %v\n%s", throttled.header, throttled.body)
	}
	if s := emu.Stats(); s.Accepted != 2 || s.Refused[429] != 2 {
		t.Errorf("%+v", s)
	}
}

func TestErrorShares(t *testing.T) {
	run := func(seed uint64) ([]int, emulator.Stats) {
		emu, url := start(t, emulator.Options{Seed: seed, Faults: emulator.Faults{ErrorShares: map[int]float64{503: 0.25, 429: 0.25}}})
		parts := slices.Repeat([]string{post(pathV3, goodV3)}, 1000)
		return statuses(readBatch(t, sendBatch(t, url+"/batch", batchOf(parts...)))), emu.Stats()
	}
	first, stats := run(7)
	if again, _ := run(7); !slices.Equal(first, again) {
		t.Error("the same seed gave other errors")
	}
	if other, _ := run(8); slices.Equal(first, other) {
		t.Error("another seed gave the same errors")
	}
	for _, status := range []int{503, 429} {
		// 250 are expected, 14 is the standard deviation.
		if n := stats.Refused[status]; n < 180 || n > 320 {
			t.Errorf("%d of 1000 were answered %d, want about 250", n, status)
		}
	}
	if sum := stats.Accepted + stats.Refused[503] + stats.Refused[429]; sum != 1000 || len(stats.Refused) != 2 {
		t.Errorf("%+v", stats)
	}
}

func TestRefuseAll(t *testing.T) {
	emu, url := start(t, emulator.Options{})
	for code, status := range map[int]string{
		400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS",
		408: "DEADLINE_EXCEEDED", 412: "FAILED_PRECONDITION", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL",
		501: "UNIMPLEMENTED", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED", 507: "UNKNOWN",
	} {
		emu.SetFaults(emulator.Faults{All: emulator.Refuse(code, "because")})
		for _, a := range []answer{
			send(t, "POST", url+pathV3, goodV3),
			sendBatch(t, url+"/batch", batchOf(post(pathV3, goodV3))),
		} {
			if rpc := a.rpc(t); a.status != code || rpc.Error.Status != status || rpc.Error.Message != "because" {
				t.Errorf("%d: %d %s %q", code, a.status, rpc.Error.Status, rpc.Error.Message)
			}
		}
	}
	emu.SetFaults(emulator.Faults{All: emulator.Outage()})
	a := send(t, "POST", url+pathV3, goodV3)
	if rpc := a.rpc(t); a.status != 503 || rpc.Error.Message != "The service is currently unavailable." {
		t.Errorf("outage: %d %q", a.status, rpc.Error.Message)
	}
	if s := emu.Stats(); s.Accepted != 0 || s.Refused[503] != 3 || s.Faulted != 31 {
		t.Errorf("%+v", s)
	}
	emu.SetFaults(emulator.Faults{})
	if a := send(t, "POST", url+pathV3, goodV3); a.status != 200 {
		t.Errorf("after the outage: %d", a.status)
	}
}

func TestFaultAnswer(t *testing.T) {
	emu, url := start(t, emulator.Options{Faults: emulator.Faults{All: &emulator.Fault{
		Status: 502, RetryAfter: 1500 * time.Millisecond, Header: http.Header{"X-Odd": {"1"}},
	}}})
	a := send(t, "POST", url+pathV3, goodV3)
	if a.status != 502 || a.header.Get("Retry-After") != "2" || a.header.Get("X-Odd") != "1" || a.rpc(t).detail("RetryInfo")["retryDelay"] != "1.500s" {
		t.Errorf("%d %v\n%s", a.status, a.header, a.body)
	}
	emu.SetFaults(emulator.Faults{All: &emulator.Fault{
		Status: 502, Body: []byte("<html>"), Header: http.Header{"Content-Type": {"text/html"}},
	}})
	a = send(t, "POST", url+pathV3, goodV3)
	if a.status != 502 || a.body != "<html>" || a.header.Get("Content-Type") != "text/html" {
		t.Errorf("%d %v\n%s", a.status, a.header, a.body)
	}
	emu.SetFaults(emulator.Faults{All: &emulator.Fault{Status: 500, AfterAccept: true}})
	if a = send(t, "POST", url+pathV3, goodV3); a.status != 500 {
		t.Errorf("status %d", a.status)
	}
	if s := emu.Stats(); s.Accepted != 1 || s.Refused[500] != 0 || s.Refused[502] != 2 {
		t.Errorf("%+v", s)
	}
}

// raw sends a request and returns all bytes of the response.
func raw(t *testing.T, url, path, body string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestCuts(t *testing.T) {
	for _, after := range []bool{false, true} {
		tests := []struct {
			name  string
			fault emulator.Fault
			check func(got string) bool
		}{
			{"connection", emulator.Fault{Cut: emulator.CutConnection}, func(got string) bool { return got == "" }},
			{"headers", emulator.Fault{Cut: emulator.CutHeaders}, func(got string) bool {
				return strings.HasPrefix(got, "HTTP/1.1 ") && !strings.Contains(got, "\r\n\r\n")
			}},
			{"body", emulator.Fault{Cut: emulator.CutBody}, func(got string) bool {
				head, body, ok := strings.Cut(got, "\r\n\r\n")
				return ok && strings.Contains(head, "Content-Length: ") && len(body) > 10 &&
					!strings.Contains(head, fmt.Sprintf("Content-Length: %d\r\n", len(body))) &&
					strings.Contains(head, " 503 ") == !after && strings.Contains(body, `"requestId"`) == after
			}},
		}
		for _, test := range tests {
			t.Run(fmt.Sprintf("%s after accept %v", test.name, after), func(t *testing.T) {
				test.fault.AfterAccept = after
				emu, url := start(t, emulator.Options{Faults: emulator.Faults{All: &test.fault}})
				if got := raw(t, url, pathV3, goodV3); !test.check(got) {
					t.Errorf("got %q", got)
				}
				want := int64(0)
				if after {
					want = 1
				}
				if s := emu.Stats(); s.Accepted != want || s.Faulted != 1 || len(s.Refused) != 0 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// A request that hangs ends with the channel, with its client, or with Close.
func TestHang(t *testing.T) {
	inBubble(t, emulator.Options{}, func(t *testing.T, emu *emulator.Emulator, client *http.Client) {
		release := make(chan struct{})
		emu.SetFaults(emulator.Faults{All: &emulator.Fault{Hang: release, Delay: time.Second}})

		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		_, err := postV3(ctx, client, 1)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 7*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}

		time.AfterFunc(time.Minute, func() { close(release) })
		begin = time.Now()
		if got := status(t, client, 2); got != 200 || time.Since(begin) != 61*time.Second {
			t.Errorf("status %d after %v", got, time.Since(begin))
		}
		synctest.Wait()
		if events := emu.Events(); len(events) != 1 || events[0].Event.EventID != "e2" {
			t.Errorf("%+v", events)
		}

		emu.SetFaults(emulator.Faults{All: &emulator.Fault{Hang: make(chan struct{})}})
		time.AfterFunc(time.Minute, func() { emu.Close() })
		begin = time.Now()
		if _, err := postV3(t.Context(), client, 3); !errors.Is(err, io.EOF) || time.Since(begin) != time.Minute {
			t.Errorf("after Close: %v after %v", err, time.Since(begin))
		}
	})
}

// Serve gives requests in progress 5 s to finish.
func TestServeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		emu := emulator.New(emulator.Options{Faults: emulator.Faults{Hook: func(r *emulator.Request) *emulator.Fault {
			if bytes.Contains(r.Body, []byte(`"e1"`)) {
				return &emulator.Fault{Delay: 3 * time.Second}
			}
			return &emulator.Fault{Hang: make(chan struct{})}
		}}})
		listener := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		transport := &http.Transport{DialContext: listener.dial}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		var clients sync.WaitGroup
		clients.Go(func() {
			if got := status(t, client, 1); got != 200 {
				t.Errorf("status %d", got)
			}
		})
		clients.Go(func() {
			if _, err := postV3(t.Context(), client, 2); err == nil {
				t.Error("the request that hangs was answered")
			}
		})
		served := make(chan error)
		go func() { served <- emu.Serve(ctx, listener) }()
		time.Sleep(time.Second)
		begin := time.Now()
		cancel()
		if err := <-served; err != nil || time.Since(begin) != 5*time.Second {
			t.Errorf("Serve: %v after %v", err, time.Since(begin))
		}
		clients.Wait()
	})
}

func TestServeOnBadListener(t *testing.T) {
	listener := newPipes()
	listener.Close()
	if err := emulator.New(emulator.Options{}).Serve(t.Context(), listener); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestHTTP2WithoutTLS(t *testing.T) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	emu := emulator.New(emulator.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- emu.Serve(ctx, listener) }()
	transport := &http.Transport{Protocols: protocols}
	client := &http.Client{Transport: transport}

	post := func() (*http.Response, error) {
		return client.Post("http://"+listener.Addr().String()+pathV3, "application/json", strings.NewReader(goodV3))
	}
	resp, err := post()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Errorf("%s %d", resp.Proto, resp.StatusCode)
	}
	emu.SetFaults(emulator.Faults{All: &emulator.Fault{Cut: emulator.CutHeaders}})
	if resp, err := post(); err == nil {
		t.Errorf("a cut answer came as %d", resp.StatusCode)
		resp.Body.Close()
	}
	transport.CloseIdleConnections()
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestToken(t *testing.T) {
	emu, url := start(t, emulator.Options{Faults: emulator.Faults{Token: func(token string) bool { return token == "good" }}})
	tests := []struct {
		name, query, authorization string
		status                     int
		reason                     string
	}{
		{"good", "", "Bearer good", 200, ""},
		{"scheme in lower case", "", "bearer good", 200, ""},
		{"access_token", "?access_token=good", "", 200, ""},
		{"oauth_token", "?oauth_token=good", "", 200, ""},
		{"bad", "", "Bearer bad", 401, "ACCESS_TOKEN_EXPIRED"},
		{"none", "", "", 401, "CREDENTIALS_MISSING"},
		{"empty", "", "Bearer ", 401, "CREDENTIALS_MISSING"},
		{"a key alone", "?key=good", "", 401, "CREDENTIALS_MISSING"},
		{"basic", "", "Basic good", 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var header []string
			if test.authorization != "" {
				header = []string{"Authorization", test.authorization}
			}
			a := send(t, "POST", url+pathV3+test.query, goodV3, header...)
			if a.status != test.status {
				t.Fatalf("status %d, want %d", a.status, test.status)
			}
			if test.status == 200 {
				return
			}
			if got := a.rpc(t).detail("ErrorInfo")["reason"]; got != test.reason {
				t.Errorf("reason %v, want %s", got, test.reason)
			}
			if got := a.header.Get("Www-Authenticate"); !strings.HasPrefix(got, "Bearer ") {
				t.Errorf("WWW-Authenticate %q", got)
			}
		})
	}
	if s := emu.Stats(); s.Accepted != 4 || !maps.Equal(s.Refused, map[int]int64{401: 5}) {
		t.Errorf("%+v", s)
	}
}

func TestNoBatch(t *testing.T) {
	emu, url := start(t, emulator.Options{Faults: emulator.Faults{NoBatch: true}})
	a := sendBatch(t, url+"/batch", batchOf(post(pathV3, goodV3)))
	if a.status != 404 || a.rpc(t).Error.Status != "NOT_FOUND" {
		t.Errorf("%d\n%s", a.status, a.body)
	}
	emu.ChangeFaults(func(f *emulator.Faults) { f.NoBatch = false })
	if got := statuses(readBatch(t, sendBatch(t, url+"/batch", batchOf(post(pathV3, goodV3))))); !slices.Equal(got, []int{200}) {
		t.Errorf("statuses %v", got)
	}
}

// The hook sees the batch, and then each of its parts.
func TestHookOnParts(t *testing.T) {
	var seen []string
	hook := func(r *emulator.Request) *emulator.Fault {
		seen = append(seen, fmt.Sprintf("%d %s %s %s", r.Part, r.Method, r.Path, r.Header.Get("X-Test")))
		switch r.Part {
		case 2:
			return emulator.Refuse(503, "not this one")
		case 3:
			return &emulator.Fault{Cut: emulator.CutConnection}
		case 4:
			return &emulator.Fault{Status: 500, AfterAccept: true}
		case 5:
			return &emulator.Fault{Cut: emulator.CutBody, AfterAccept: true}
		}
		return nil
	}
	emu, url := start(t, emulator.Options{KeepAll: true, Faults: emulator.Faults{Hook: hook}})
	var requests []string
	for range 6 {
		requests = append(requests, post(pathV3, goodV3))
	}
	requests[1] = post(pathV3, goodV3, "X-Test: inner\r\n")
	got := readBatch(t, sendBatch(t, url+"/batch", batchOf(requests...), "X-Test", "outer"))

	var outcomes []string
	for _, p := range got {
		outcomes = append(outcomes, fmt.Sprintf("%s %d", p.id, p.answer.status))
	}
	if want := []string{"<response-1> 200", "<response-2> 503", "<response-4> 500", "<response-6> 200"}; !slices.Equal(outcomes, want) {
		t.Errorf("outcomes %q, want %q", outcomes, want)
	}
	if want := []string{
		"0 POST /batch outer",
		"1 POST " + pathV3 + " outer", "2 POST " + pathV3 + " inner", "3 POST " + pathV3 + " outer",
		"4 POST " + pathV3 + " outer", "5 POST " + pathV3 + " outer", "6 POST " + pathV3 + " outer",
	}; !slices.Equal(seen, want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
	var accepted []int
	for _, a := range emu.Events() {
		accepted = append(accepted, a.Part)
	}
	if !slices.Equal(accepted, []int{1, 4, 5, 6}) {
		t.Errorf("accepted the parts %v", accepted)
	}
	if s := emu.Stats(); s.Faulted != 4 || !maps.Equal(s.Refused, map[int]int64{503: 1}) {
		t.Errorf("%+v", s)
	}
}

// Faults change, and accepted events are read, while many requests arrive.
func TestConcurrency(t *testing.T) {
	const clients, each = 8, 50
	var told sync.Map
	emu, url := start(t, emulator.Options{KeepAll: true, OnAccept: func(a emulator.Accepted) { told.Store(a.Event.EventID, true) }})
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				id := c*each + i
				event := strings.Replace(goodV3, `"e1"`, fmt.Sprintf(`"e%d"`, id), 1)
				for sent := false; !sent; {
					if i%2 == 0 {
						sent = send(t, "POST", url+pathV3, event).status == 200
						continue
					}
					a := sendBatch(t, url+"/batch", batchOf(post(pathV3, event)))
					sent = a.status == 200 && readBatch(t, a)[0].answer.status == 200
				}
			}
		})
	}
	wg.Go(func() {
		for i := range int64(clients * each / 10) {
			if err := emu.WaitAccepted(t.Context(), 10*i); err != nil {
				t.Error(err)
			}
			emu.SetFaults(emulator.Faults{All: emulator.Outage()})
			emu.Events()
			emu.ChangeFaults(func(f *emulator.Faults) { f.All, f.ErrorShares = nil, map[int]float64{500: 0.2} })
			emu.Stats()
			emu.Faults()
		}
	})
	wg.Wait()
	if s := emu.Stats(); s.Accepted != clients*each || s.Duplicates != 0 || len(emu.Events()) != clients*each {
		t.Errorf("%+v, %d kept", s, len(emu.Events()))
	}
	for id := range clients * each {
		if _, ok := told.Load(fmt.Sprintf("e%d", id)); !ok {
			t.Errorf("OnAccept was not told of e%d", id)
		}
	}
}
