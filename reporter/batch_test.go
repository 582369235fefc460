package reporter

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/event"
)

// batches lets the rig send batches of up to ten.
func batches(c *rigConfig) { c.batch.Size = 10 }

func TestBatchOfOneGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil, batches)
		g.report("a")
		synctest.Wait()
		g.report("b", "c")
		g.wantRequests("0s /v3/projects/p/clientEvents a", "0s /batch b,c")
		g.wantOutcomes(accepted(3))
		g.wantMetric("api_requests_total", "200", 3)
		g.wantMetric("api_request_duration_seconds", "", 2)
	})
}

// Only the parts that failed for now are tried again, each after its own wait.
func TestPartsHaveTheirOwnOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := func(w http.ResponseWriter, r received) {
			w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
			p := r.parts
			// In another order.
			for _, part := range []string{
				answerPart(p[6], 500, "", ""),
				answerPart(p[0], 200, "", "{}"),
				answerPart(p[4], 503, "Retry-After: 5\r\n", ""),
				answerPart(p[1], 400, "", `{"error":{"message":"bad","status":"INVALID_ARGUMENT"}}`),
				answerPart(p[2], 409, "", ""),
				answerPart(p[3], 413, "", ""),
				answerPart(p[5], 502, "", ""),
				"--b--\r\n",
			} {
				io.WriteString(w, part)
			}
		}
		g := newRig(t, script(answer, accept), batches)
		g.report("a", "b", "c", "d", "e", "f", "g")
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 2, event.Rejected: 1, event.TooLarge: 1})
		if o := g.outcome("b"); o.HTTPStatus != 400 || o.Detail != "INVALID_ARGUMENT: bad" {
			t.Errorf("the outcome of b is %+v", o)
		}
		time.Sleep(time.Minute)
		got := g.requests()
		slices.Sort(got[1:])
		want := []string{"0s /batch a,b,c,d,e,f,g", "500ms /batch f,g", "5s /v3/projects/p/clientEvents e"}
		if !slices.Equal(got, want) && !slices.Equal(got, []string{want[0], "500ms /batch g,f", want[2]}) {
			t.Errorf("requests are %q, want %q", got, want)
		}
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 5, event.Rejected: 1, event.TooLarge: 1})
		for code, want := range map[string]float64{"200": 4, "400": 1, "409": 1, "413": 1, "500": 1, "502": 1, "503": 1} {
			g.wantMetric("api_requests_total", code, want)
		}
		for reason, want := range map[string]float64{"server_error": 2, "unavailable": 1} {
			g.wantMetric("retries_total", reason, want)
		}
		if n := g.b.InFlight(); n != 0 {
			t.Errorf("%d in flight, want none", n)
		}
	})
}

// The quota that throttled one part is the others', too.
func TestThrottledPartClosesTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := func(w http.ResponseWriter, r received) {
			w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
			io.WriteString(w, answerPart(r.parts[0], 200, "", "{}")+answerPart(r.parts[1], 429, "Retry-After: 30\r\n", "")+answerPart(r.parts[2], 500, "", "")+"--b--")
		}
		g := newRig(t, script(answer, accept), func(c *rigConfig) { batches(c); c.Concurrency = 1 })
		g.report("a", "b", "c")
		synctest.Wait()
		g.report("d")
		time.Sleep(29 * time.Second)
		g.wantPaused("throttled")
		g.wantRequests("0s /batch a,b,c")
		time.Sleep(5 * time.Minute) // all that is known of the quota is one event in 30 s
		g.wantOutcomes(accepted(4))
		if got := g.requests(); !strings.HasPrefix(got[1], "30s ") {
			t.Errorf("requests are %q, want the second at 30s", got)
		}
	})
}

func TestAllPartsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := func(w http.ResponseWriter, r received) {
			answerEach(w, r, map[string]int{"a": 503, "b": 500, "c": 503, "d": 503})
		}
		g := newRig(t, script(failing, failing, accept), func(c *rigConfig) { batches(c); c.Concurrency = 1 })
		g.report("a", "b")
		synctest.Wait()
		g.report("c", "d") // wait for the probe
		time.Sleep(time.Minute)
		g.wantRequests("0s /batch a,b", "500ms /batch a,b,c,d", "1.5s /batch a,b,c,d")
		g.wantOutcomes(accepted(4))
	})
}

func TestEndpointWithoutBatches(t *testing.T) {
	for _, status := range []int{404, 405, 501} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := func(w http.ResponseWriter, r received) {
					if r.path == "/batch" {
						refuse(status)(w, r)
						return
					}
					accept(w, r)
				}
				g := newRig(t, answer, func(c *rigConfig) { batches(c); c.Concurrency = 1 })
				g.report("a", "b", "c")
				synctest.Wait()
				g.report("d", "e")
				synctest.Wait()
				for _, id := range []string{"f", "g"} { // not even after days
					time.Sleep(48 * time.Hour)
					g.report(id, id+id)
					synctest.Wait()
				}
				const path, single = " /v3/projects/p/clientEvents ", "0s /v3/projects/p/clientEvents "
				g.wantRequests("0s /batch a,b,c", single+"a", single+"b", single+"c", single+"d", single+"e",
					"48h0m0s"+path+"f", "48h0m0s"+path+"ff", "96h0m0s"+path+"g", "96h0m0s"+path+"gg")
				g.wantOutcomes(accepted(9))
				if got := strings.Count(g.log.String(), "WARN"); got != 1 {
					t.Errorf("%d warnings, want one", got)
				}
				if s := g.r.Status(); s.Batches || !s.Gate.Open {
					t.Errorf("the status is %+v", s)
				}
			})
		})
	}
}

// That it does not know them is an answer: an outage is over with it.
func TestEndpointWithoutBatchesAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(w http.ResponseWriter, r received) {
			time.Sleep(time.Second)
			accept(w, r)
		}
		g := newRig(t, script(refuse(503), refuse(404), slow), batches)
		g.report("a", "b", "c")
		time.Sleep(1500 * time.Millisecond) // of which 500 ms are backoff
		g.wantOutcomes(accepted(3))
	})
}

// What is refused as a whole is sent in smaller batches, and at last each event
// says itself what is wrong.
func TestBatchThatIsRefusedAsAWhole(t *testing.T) {
	for _, status := range []int{413, 400} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := func(w http.ResponseWriter, r received) {
					if len(r.ids) > 3 || slices.Contains(r.ids, "large") {
						refuse(status)(w, r)
						return
					}
					accept(w, r)
				}
				g := newRig(t, answer, func(c *rigConfig) { batches(c); c.Concurrency = 1 })
				g.report("a", "b", "large", "c", "d", "e", "f", "g", "h", "i")
				synctest.Wait()
				want := event.TooLarge
				if status == 400 {
					want = event.Rejected
				}
				time.Sleep(time.Second)
				g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 9, want: 1})
				if s := g.r.Status(); !s.Gate.Open || !s.Batches {
					t.Errorf("the status is %+v", s)
				}
				// They grow again.
				g.setAnswer(accept)
				for i := range 20 {
					g.report(sequence(fmt.Sprint("x", i, "."), 50)...)
					synctest.Wait()
				}
				g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 1009, want: 1})
				got := g.requestsReceived()
				if last := got[len(got)-1]; len(last.ids) != 10 {
					t.Errorf("the last batch has %d events, want 10", len(last.ids))
				}
			})
		})
	}
}

// A part counts when its status line was read, wherever the answer is cut off.
func TestCutBatchAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := func(parts []string) string {
			body := answerPart(parts[0], 200, "", "{}") + answerPart(parts[1], 400, "", "{}") + answerPart(parts[2], 200, "", "{}") + "--b--\r\n"
			return "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		}
		length := len(whole([]string{"<xxxxxxxxxxxx+0>", "<xxxxxxxxxxxx+1>", "<xxxxxxxxxxxx+2>"}))
		seen := map[int]int{}
		for at := range length + 1 {
			known := 0
			g := newRig(t, script(func(w http.ResponseWriter, r received) {
				answer := whole(r.parts)[:at]
				if _, body, ok := strings.Cut(answer, "\r\n\r\n"); ok {
					known = strings.Count(body, " OK\r\n") + strings.Count(body, " Bad Request\r\n") // status lines
				}
				raw(t, answer)(w, r)
			}, accept), func(c *rigConfig) { batches(c); c.Registerer = nil })
			g.report("a", "b", "c")
			time.Sleep(time.Minute)
			synctest.Wait()
			want := map[event.OutcomeKind]int{event.Accepted: 2, event.Rejected: 1}
			if known < 2 {
				want = accepted(3) // at the second attempt, all are
			}
			g.wantOutcomes(want)
			again := ""
			if got := g.requestsReceived(); len(got) > 1 {
				again = strings.Join(got[1].ids, "")
			}
			if wantAgain := "abc"[known:]; len(again) != len(wantAgain) || strings.Trim(again, wantAgain) != "" {
				t.Fatalf("cut after %d bytes: %q sent again, want %q", at, again, wantAgain)
			}
			seen[known]++
			g.stop()
		}
		for known := range 4 {
			if seen[known] == 0 {
				t.Errorf("no cut left %d parts known", known)
			}
		}
	})
}

// An answer that can't be matched to its events is not asked for again: whatever it
// accepted would be repeated with each batch.
func TestAnswerThatCannotBeMatched(t *testing.T) {
	multi := func(parts func(r received) string) func(http.ResponseWriter, received) {
		return func(w http.ResponseWriter, r received) {
			if r.path != "/batch" {
				accept(w, r)
				return
			}
			w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
			io.WriteString(w, parts(r)+"--b--")
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n\r\n{}\r\n"
	const single = "0s /v3/projects/p/clientEvents "
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter, received)
		again  []string
	}{
		"JSON": {func(w http.ResponseWriter, _ received) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "{}")
		}, []string{single + "a", single + "b", single + "c", single + "d"}},
		"no content": {func(w http.ResponseWriter, _ received) { w.WriteHeader(http.StatusNoContent) }, []string{single + "a", single + "b", single + "c", single + "d"}},
		"an empty multipart answer": {func(w http.ResponseWriter, _ received) {
			w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
		}, []string{single + "a", single + "b", single + "c", single + "d"}},
		"no last delimiter": {func(w http.ResponseWriter, r received) {
			w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
			io.WriteString(w, answerPart(r.parts[0], 200, "", "{}"))
		}, []string{single + "c", single + "d", "500ms /v3/projects/p/clientEvents b"}},
		"compressed": {func(w http.ResponseWriter, r received) {
			w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
			w.Header().Set("Content-Encoding", "gzip")
			zip := gzip.NewWriter(w)
			io.WriteString(zip, answerPart(r.parts[0], 200, "", "{}")+answerPart(r.parts[1], 200, "", "{}")+"--b--")
			zip.Close()
		}, []string{single + "a", single + "b", single + "c", single + "d"}},
		"no parts": {multi(func(received) string { return "" }), []string{single + "a", single + "b", single + "c", single + "d"}},
		"foreign IDs": {multi(func(received) string {
			return "--b\r\nContent-ID: <x+0>\r\n\r\n" + ok + "--b\r\nContent-ID: <x+1>\r\n\r\n" + ok
		}), []string{single + "a", single + "b", single + "c", single + "d"}},
		"a part is missing": {
			multi(func(r received) string { return answerPart(r.parts[0], 200, "", "{}") }),
			[]string{single + "c", single + "d", "500ms /v3/projects/p/clientEvents b"},
		},
		"in order": {multi(func(received) string { return strings.Repeat("--b\r\n\r\n"+ok, 2) }), []string{"0s /batch c,d"}},
		"response-<id>": {multi(func(r received) string {
			return "--b\r\nContent-ID: response-" + r.parts[0] + "\r\n\r\n" + ok + "--b\r\nContent-ID: response-" + r.parts[1] + "\r\n\r\n" + ok
		}), []string{"0s /batch c,d"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := func(w http.ResponseWriter, r received) {
					if r.path != "/batch" {
						accept(w, r)
						return
					}
					test.answer(w, r)
				}
				g := newRig(t, answer, func(c *rigConfig) { batches(c); c.Concurrency = 1 })
				g.report("a", "b")
				synctest.Wait()
				g.report("c", "d")
				time.Sleep(time.Minute)
				g.wantRequests(append([]string{"0s /batch a,b"}, test.again...)...)
				g.wantOutcomes(accepted(4))
				warnings := 1
				if strings.Contains(test.again[0], "batch") {
					warnings = 0
				}
				if got := strings.Count(g.log.String(), "does not support HTTP batches"); got != warnings {
					t.Errorf("%d warnings, want %d", got, warnings)
				}
			})
		})
	}
}

// A batch whose answer had no results is tried again with two events, and ever more rarely:
// what answered may have been a proxy that was set up wrongly for a while.
func TestBatchesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		g := newRig(t, func(w http.ResponseWriter, r received) {
			if r.path != "/batch" || time.Since(began) > 25*time.Minute {
				accept(w, r)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}, func(c *rigConfig) { batches(c); c.Concurrency = 1 })
		at := func(after time.Duration, ids ...string) {
			time.Sleep(after - time.Since(began))
			g.report(ids...)
			synctest.Wait()
		}
		const single, batch = " /v3/projects/p/clientEvents ", " /batch "
		at(0, "a", "b")
		at(9*time.Minute, "c", "d")
		at(10*time.Minute, "e")
		at(11*time.Minute, "f", "g")
		at(30*time.Minute, "h", "i")
		at(31*time.Minute, "j")
		at(32*time.Minute, "k", "l")
		g.wantRequests("0s"+batch+"a,b", "0s"+single+"a", "0s"+single+"b",
			"9m0s"+single+"c", "9m0s"+single+"d", "10m0s"+single+"e",
			"11m0s"+batch+"f,g", "11m0s"+single+"f", "11m0s"+single+"g",
			"30m0s"+single+"h", "30m0s"+single+"i", "31m0s"+single+"j", "32m0s"+batch+"k,l")
		g.wantOutcomes(accepted(12))
	})
}

// An answer whose end is that of its connection may have been cut off: it does not
// show that the endpoint lacks batches.
func TestCutAnswerWithoutALength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, script(raw(t, "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"), accept), batches)
		g.report("a", "b")
		time.Sleep(time.Second)
		g.wantRequests("0s /batch a,b", "0s /batch a,b")
		g.wantOutcomes(accepted(2))
		g.wantMetric("retries_total", "network", 2)
	})
}

// A web page is not the endpoint's answer: it says nothing about batches.
func TestWebPageIsNoAnswerToABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		webPage := func(w http.ResponseWriter, _ received) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<html>")
		}
		g := newRig(t, script(webPage, accept), batches)
		g.report("a", "b")
		time.Sleep(time.Second)
		g.wantRequests("0s /batch a,b", "500ms /batch a,b")
		g.wantOutcomes(accepted(2))
		g.wantMetric("retries_total", "bad_answer", 2)
	})
}

// The connection of an answer that was read is used again, chunked or not.
func TestConnectionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chunked := func(w http.ResponseWriter, r received) { accept(flushing{w}, r) }
		dials := 0
		g := newRig(t, script(chunked, accept, chunked, refuse(500), accept), func(c *rigConfig) {
			batches(c)
			c.Concurrency = 1
			dial := c.Dial
			c.Dial = func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
				dials++
				return dial(ctx, network, addr)
			}
		})
		for i := range 10 {
			g.report(sequence(fmt.Sprint(i, "."), 2)...)
			time.Sleep(time.Second)
		}
		g.wantOutcomes(accepted(20))
		if dials != 1 {
			t.Errorf("%d connections, want one", dials)
		}
	})
}

// flushing sends each piece of an answer by itself, of unknown length.
type flushing struct{ http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}
