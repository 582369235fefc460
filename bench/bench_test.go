package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"
)

// TestMain lets the test's binary be the harness's own processes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if serve, ok := services[os.Args[1]]; ok {
			if err := serve(os.Args[2:]); err != nil {
				println(err.Error())
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

func TestKinds(t *testing.T) {
	const n = 10_000
	got := map[kind]int{}
	for i := range n {
		got[kindOf(i)]++
		if kindOf(i) != repeated {
			continue
		}
		if kindOf(i-105) != good || partitionOf(i, 6) != partitionOf(i-105, 6) {
			t.Fatalf("record %d repeats one that is at fault, or lies in another partition", i)
		}
	}
	if got[repeated] != 196 || got[notJSON] != 20 || got[badSchema] != 30 || got[good] != expected(n) {
		t.Errorf("kinds are %v", got)
	}
}

// The sink must see what is lost and what is repeated, or the harness proves
// nothing.
func TestSinkCounts(t *testing.T) {
	s := &sink{}
	s.tally.Store(newTally(10))
	at := time.Now().Add(-3 * time.Millisecond)
	var events [][]byte
	for _, i := range []int{0, 1, 2, 2, 7, 11} {
		events = append(events, appendGood(nil, i, at))
	}
	s.answer(nil, events[0], false)
	answer, _ := s.answer(nil, appendParts(nil, events[1:]), true)
	if n := bytes.Count(answer, []byte("HTTP/1.1 200 OK")); n != 5 {
		t.Errorf("the answer to 5 events has %d parts", n)
	}
	for i, want := range []string{"response-floor+0", "response-floor+4"} {
		if !bytes.Contains(answer, []byte(want)) {
			t.Errorf("part %d is not answered under its own id", i)
		}
	}
	got := s.tally.Load().seen(true)
	if got.Events != 5 || got.Unique != 4 || got.Alien != 1 {
		t.Errorf("counted %+v, want 5 events, 4 different ones, 1 alien", got)
	}
	if got.P50 < 3*time.Millisecond || got.P50 > time.Minute {
		t.Errorf("they took %v, want a little more than 3 ms", got.P50)
	}
}

func TestSinkSpeaksHTTP1(t *testing.T) {
	s := &sink{}
	s.tally.Store(newTally(10))
	client, server := net.Pipe()
	go s.serveHTTP1(server)
	defer client.Close()
	event := string(appendGood(nil, 3, time.Now()))
	in := bufio.NewReader(client)
	for _, request := range []string{
		"POST / HTTP/1.1\r\nContent-Length: " + strconv.Itoa(len(event)) + "\r\n\r\n" + event,
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + hex(len(event)) + "\r\n" + event + "\r\n0\r\n\r\n",
	} {
		go func() { _, _ = io.WriteString(client, request) }()
		h, err := readHead(in)
		if err != nil {
			t.Fatal(err)
		}
		body, err := h.readBody(in, nil)
		if err != nil || string(body) != event {
			t.Errorf("the answer is %q, %v; want the event", body, err)
		}
	}
	if got := s.tally.Load().seen(false); got.Events != 2 || got.Unique != 1 {
		t.Errorf("counted %+v, want one event twice", got)
	}
}

// smallWorld returns a world with the program itself, and a context for the test's time.
func smallWorld(t *testing.T) (context.Context, *world) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	w, err := newWorld(ctx, options{broker: "embedded", nodes: 1, rounds: 1, quick: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return ctx, w
}

// TestDrain runs the harness with the program itself, small.
func TestDrain(t *testing.T) {
	ctx, w := smallWorld(t)
	const n = 2000
	topic, err := w.topicOf(ctx, n, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []contender{floor, w.product} {
		for _, url := range []string{w.plain, w.secure} {
			for _, batch := range []int{1, 100} {
				got, err := w.drain(ctx, c, setup{topic: topic, n: n, url: url, batch: batch, linger: -1}, expected(n), 0)
				if err != nil {
					t.Fatal(err)
				}
				if got.lost != 0 || got.repeated != 0 || got.perSecond <= 0 || got.cpu <= 0 {
					t.Errorf("%s, %s, batches of %d: %+v", c.name, url, batch, got)
				}
			}
		}
	}
}

// TestDrainBesideIDs wants the start of the process, its reading of the state and its end
// not to count as the events'.
func TestDrainBesideIDs(t *testing.T) {
	ctx, w := smallWorld(t)
	const n, ids = 2000, 50_000
	got, err := w.drainBesideIDs(ctx, setup{n: n, url: w.plain, batch: 100, linger: -1}, ids)
	if err != nil {
		t.Fatal(err)
	}
	if got.lost != 0 || got.repeated != 0 || got.steady <= 0 || got.steady >= got.cpu/2 {
		t.Errorf("got %+v, want the CPU of the events, and not that of the start", got)
	}
}

func TestUpdateSection(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.md")
	const text = "a\n<!-- bench:x -->\nold\n<!-- end of bench -->\nb\n<!-- bench:y -->\nkept\n<!-- end of bench -->\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := updateSection(file, "x", "new"); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(file)
	if want := strings.Replace(text, "old", "new", 1); string(got) != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	if err := updateSection(file, "z", "new"); err == nil {
		t.Error("a section that is not there was written")
	}
}

func TestDraw(t *testing.T) {
	svg := draw([]plot{{name: "partitions", x: []int{1, 10, 100}, cost: []float64{7, 7, 8}, memory: []float64{60, 61, 70}}})
	if !strings.HasPrefix(svg, "<svg ") || strings.Count(svg, "<circle ") != 6 || strings.Contains(svg, "NaN") {
		t.Errorf("the plot is\n%s", svg)
	}
}

func TestDrawBars(t *testing.T) {
	svg := drawBars([]bar{{"bare loop", 17, 0}, {"clientevents", 22, 84}, {"another", 100, 56}})
	if !strings.HasPrefix(svg, "<svg ") || strings.Count(svg, "<rect ") != 1+3+2 || strings.Contains(svg, "NaN") {
		t.Errorf("the chart is\n%s", svg)
	}
}

// A build is kept under a name that changes with all that it is made of.
func TestPeerKeys(t *testing.T) {
	names := map[string]bool{}
	for _, p := range peers() {
		key, err := p.key()
		if err != nil {
			t.Fatal(err)
		}
		p.version += "x"
		newer, err := p.key()
		if err != nil || newer == key {
			t.Errorf("%s: another version has the key %s too, %v", p.name, key, err)
		}
		names[key] = true
	}
	if len(names) != len(peers()) {
		t.Errorf("the keys are %v", names)
	}
}

func TestPeerFiles(t *testing.T) {
	dir := t.TempDir()
	if err := otelPeer().write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"builder.yaml", "event/go.mod", "event/check/connector.go", "event/post/exporter.go"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// What is in the cache, or named by the environment, is not built; what fails says why.
func TestPeerIsFound(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	p := peer{name: "A Peer", path: "BENCH_A_PEER", result: "made", commands: [][]string{{"touch", "made"}}}
	first, err := p.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.find(t.Context()); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(first); string(data) != "kept" {
		t.Error("it was built again")
	}
	p.version, p.commands = "2", [][]string{{"sh", "-c", "echo no such registry; exit 1"}}
	if _, err := p.find(t.Context()); err == nil || !strings.Contains(err.Error(), "no such registry") {
		t.Errorf("the failure is %v", err)
	}
	t.Setenv("BENCH_A_PEER", "elsewhere")
	if got, err := p.find(t.Context()); got != "elsewhere" || err != nil {
		t.Errorf("found %s, %v", got, err)
	}
}

func TestPeersAreWanted(t *testing.T) {
	p := peer{name: "Apache Camel"}
	for names, want := range map[string]bool{"": true, "apache": true, "bento, Apache": true, "bento": false} {
		if got := p.wanted(names); got != want {
			t.Errorf("of %q it is wanted: %v", names, got)
		}
	}
}

// The configurations are templates: each must hold what a run gives it.
func TestPeerConfigurations(t *testing.T) {
	w := &world{dir: t.TempDir(), brokers: "broker:1"}
	s := setup{topic: "the-topic", run: "the-run", url: "https://sink", prompt: true}
	for name, config := range map[string]*template.Template{"telegraf": telegrafConfig, "bento": connectConfig, "otel": otelConfig, "camel": camelRoute} {
		file, err := w.configure(s, config, "."+name, map[string]any{"FromStart": "x: y"})
		if err != nil {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(file)
		for _, want := range []string{"broker:1", "the-topic", "the-run.dead-letter", "https://sink" + createPath} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not name %s", name, want)
			}
		}
		if strings.Contains(string(text), "no value") {
			t.Errorf("%s lacks a value:\n%s", name, text)
		}
	}
}

// The sink refuses as it is told, and counts retries that come before their time.
func TestSinkRefuses(t *testing.T) {
	s := &sink{}
	s.tally.Store(newTally(10))
	control := httptest.NewServer(s.control())
	defer control.Close()
	w := &world{control: control.Listener.Addr().String()}
	if err := w.refuse(t.Context(), http.StatusTooManyRequests, 2, 2); err != nil {
		t.Fatal(err)
	}
	post := func(i int) int {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(appendGood(nil, i, time.Now()))))
		if answer.Code == http.StatusTooManyRequests && answer.Header().Get("Retry-After") != "2" {
			t.Errorf("its Retry-After is %q", answer.Header().Get("Retry-After"))
		}
		return answer.Code
	}
	codes := []int{post(0), post(1), post(2), post(3), post(3), post(1)}
	if want := []int{200, 429, 200, 429, 200, 429}; !slices.Equal(codes, want) {
		t.Errorf("the answers are %v, want %v", codes, want)
	}
	got, err := w.seen(t.Context(), "")
	if err != nil || got.Refused != 3 || got.Retries != 2 || got.Early != 2 || got.Unique != 3 {
		t.Errorf("counted %+v, %v; want 3 refused, 2 retries, both early, 3 events", got, err)
	}
	if earlyShare(got) != "100 %" || earlyShare(seen{}) != "" {
		t.Errorf("the share is %q", earlyShare(got))
	}
	if err := w.refuse(t.Context(), http.StatusServiceUnavailable, 0, 1); err != nil {
		t.Fatal(err)
	}
	if line := s.refusal.Load().line(); line != "503 Service Unavailable" {
		t.Errorf("the status line is %q", line)
	}
	if err := w.reset(t.Context(), 10, 0); err != nil || post(1) != http.StatusOK {
		t.Errorf("after a reset it refuses still, %v", err)
	}
}

func TestSinkSeesStandstill(t *testing.T) {
	tally := newTally(10)
	for i, seconds := range []int64{1, 2, 7, 8} {
		tally.take(appendGood(nil, i, time.Now()), seconds*int64(time.Second))
	}
	if got := tally.seen(false).Still; got != 5*time.Second {
		t.Errorf("it saw %v without an event, want 5 s", got)
	}
}

func TestFaultTable(t *testing.T) {
	of := func(name string, fault int, o outcome) *trial {
		return &trial{of: contender{name: name}, fault: faults[fault], got: o}
	}
	text := faultTable([]*trial{
		of("a", 0, outcome{repeated: 7, still: 8 * time.Second, peak: 70 << 20}),
		of("b", 0, outcome{failed: "it does not start"}),
		of("a", 3, outcome{lost: 2, lettersLost: 5, lettersRepeated: 6, seen: seen{Retries: 4, Early: 1}}),
	})
	for _, want := range []string{"**" + faults[0].name + "**", "| a | 0 | 7 | 0 | 0 | 8.0 | 70 |  |", "| a | 2 | 0 | 5 | 6 | 0.0 | 0 | 25 % |"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "| b |") {
		t.Errorf("the table has a trial that failed:\n%s", text)
	}
}

// TestFault runs the harness into a fault with the program itself, small.
func TestFault(t *testing.T) {
	ctx, w := smallWorld(t)
	for i, f := range []int{1, 4} { // SIGTERM, and the topic that is made again
		x := &trial{of: w.product, fault: faults[f], n: 3000}
		if err := x.run(ctx, w, "t"+strconv.Itoa(i)+"-"); err != nil {
			t.Fatal(err)
		}
		if x.got.lost+x.got.repeated+x.got.lettersLost+x.got.lettersRepeated != 0 || len(x.letters) != 15 || x.got.peak == 0 {
			t.Errorf("%s: %+v", x.fault.name, x.got)
		}
	}
}

func TestDeadLettersAreCompared(t *testing.T) {
	want, got := letters{}, letters{}
	for value, n := range map[string]struct{ want, got int }{"all": {2, 2}, "one is missing": {3, 2}, "two too many": {1, 3}, "of none": {0, 4}} {
		want.add([]byte(value), n.want)
		got.add([]byte(value), n.got)
	}
	if lost, repeated := got.compare(want); lost != 1 || repeated != 6 {
		t.Errorf("%d are lost and %d repeated, want 1 and 6", lost, repeated)
	}
}

func hex(n int) string { return strconv.FormatInt(int64(n), 16) }
