package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
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
		"POST / HTTP/1.1\r\nContent-Length: " + itoa(len(event)) + "\r\n\r\n" + event,
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

// TestDrain runs the harness with the program itself, small.
func TestDrain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	w, err := newWorld(ctx, options{broker: "embedded", rounds: 1, quick: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
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

func itoa(n int) string { return strconv.Itoa(n) }
func hex(n int) string  { return strconv.FormatInt(int64(n), 16) }
