package reporter

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/reporter/talent"
)

const alone = "/v3/projects/p/clientEvents "

// refusing answers 400 to the events named, and 200 to the others.
func refusing(ids ...string) func(http.ResponseWriter, received) {
	byID := map[string]int{}
	for _, id := range ids {
		byID[id] = http.StatusBadRequest
	}
	return func(w http.ResponseWriter, r received) { answerEach(w, r, byID) }
}

func oneWorker(c *rigConfig) { c.Concurrency, c.batch.Concurrency = 1, 1 }

func rejected(n int) map[event.OutcomeKind]int { return map[event.OutcomeKind]int{event.Rejected: n} }

// told is when the outcome of an event was told.
func (g *rig) told(id string) time.Duration {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.toldAt[id]
}

func TestEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refusing("bad"), nil)
		g.report("bad")
		time.Sleep(300 * time.Millisecond)
		g.wantOutcomes(map[event.OutcomeKind]int{})
		if n := g.b.InFlight(); n != 0 {
			t.Errorf("%d in flight while one is held, want none: it was not accepted", n)
		}
		if s := g.r.Status(); s.Held != 1 {
			t.Errorf("%d held, want one", s.Held)
		}
		g.wantMetric("held_events", "", 1)
		g.report("good")
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 1, event.Rejected: 1})
		g.wantMetric("held_events", "", 0)
		if got := g.told("bad"); got != 300*time.Millisecond {
			t.Errorf("told after %v, want 300ms", got)
		}
		g.wantRequests("0s "+alone+"bad", "300ms "+alone+"good", "300ms "+alone+"bad")
	})
}

// A request that was sent before the rejection arrived is no evidence: the
// destination may have broken in between.
func TestEarlierRequestIsNoEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := func(w http.ResponseWriter, r received) {
			if r.ids[0] == "earlier" {
				time.Sleep(time.Second)
				accept(w, r)
				return
			}
			refuse(400)(w, r)
		}
		g := newRig(t, answer, nil)
		g.report("earlier")
		synctest.Wait()
		g.report("a")
		time.Sleep(5 * time.Second)
		g.wantOutcomes(accepted(1))
		g.wantRequests("0s "+alone+"earlier", "0s "+alone+"a")
		g.setAnswer(accept)
		g.report("later")
		g.wantOutcomes(accepted(3))
	})
}

// A destination that has recovered gets held events again, however few they are.
func TestHeldEventsAreSentAgain(t *testing.T) {
	for _, status := range []int{400, 404, 413} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, refuse(status), nil)
			g.report(sequence("e", 10)...)
			time.Sleep(10 * time.Second)
			g.wantOutcomes(map[event.OutcomeKind]int{})
			g.wantPaused()
			g.setAnswer(refusing("e3"))
			g.report("good")
			g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 10, event.Rejected: 1})
		})
	}
}

// With nothing else to send, a held event is sent again now and then.
func TestHeldEventProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(404), oneWorker)
		g.report(sequence("e", 3)...)
		time.Sleep(time.Hour)
		g.wantOutcomes(map[event.OutcomeKind]int{})
		if n := len(g.requests()); n != 3+60 {
			t.Errorf("%d requests in an hour, want the first three and one each minute", n)
		}
		g.setAnswer(accept)
		time.Sleep(time.Minute)
		g.wantOutcomes(accepted(3))
	})
}

// Two events on an idle board become dead letters after ten minutes; a third does
// not, until an event was accepted.
func TestIdleBoard(t *testing.T) {
	for _, size := range []int{1, 10} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, refuse(400), func(c *rigConfig) { c.batch.Size = size })
			g.report("a")
			time.Sleep(9 * time.Minute)
			g.report("b")
			time.Sleep(9*time.Minute + 45*time.Second)
			g.wantOutcomes(map[event.OutcomeKind]int{})
			time.Sleep(15 * time.Second)
			g.wantOutcomes(rejected(2))
			g.report("c")
			time.Sleep(24 * time.Hour)
			g.wantOutcomes(rejected(2))
			g.setAnswer(refusing("c", "d"))
			g.report("good")
			g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 1, event.Rejected: 3})
			g.report("d")
			time.Sleep(10 * time.Minute)
			g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 1, event.Rejected: 4})
		})
	}
}

// An event that still waits for another attempt may bring the evidence.
func TestBoardWithARetryIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		byID := map[string]int{"bad": 400, "later": 429}
		g := newRig(t, func(w http.ResponseWriter, r received) {
			if r.path != "/batch" {
				w.Header().Set("Retry-After", "1200")
			}
			answerEach(w, r, byID)
		}, func(c *rigConfig) { c.batch.Size = 10 })
		g.b.SetSize(1)
		g.report("later")
		synctest.Wait()
		g.report("bad")
		time.Sleep(19 * time.Minute)
		g.wantOutcomes(map[event.OutcomeKind]int{})
	})
}

// A trickle of events that are all refused is a row, too, whatever its pace.
func TestTrickleOfRefusalsPauses(t *testing.T) {
	for _, pace := range []time.Duration{time.Millisecond, time.Second, time.Minute, 9 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, refuse(404), nil)
			for i := range 19 {
				g.report(fmt.Sprint(i))
				time.Sleep(pace)
			}
			g.wantPaused()
			g.report("the twentieth")
			time.Sleep(time.Minute)
			g.wantOutcomes(map[event.OutcomeKind]int{})
			g.wantPaused("rejections")
			g.setAnswer(accept)
			time.Sleep(2 * time.Minute)
			g.wantOutcomes(accepted(20))
		})
	}
}

func TestPauseAfterTwentyRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(404), oneWorker)
		g.report(sequence("e", 22)...)
		synctest.Wait()
		if got := len(g.requests()); got != 20 {
			t.Fatalf("%d requests, want 20", got)
		}
		g.wantPaused("rejections")
		// Fresh ones are tried first, then the one that was held for longest.
		g.wantNext("500ms "+alone+"e21", "1.5s "+alone+"e22", "3.5s "+alone+"e1", "7.5s "+alone+"e2")
		g.wantOutcomes(map[event.OutcomeKind]int{})
		if got := strings.Count(g.log.String(), "ERROR"); got != 1 {
			t.Errorf("%d errors in the log, want one", got)
		}
		if n := g.b.InFlight(); n != 0 {
			t.Errorf("%d in flight, want none", n)
		}
		g.report("fresh1", "fresh2") // no reason to hurry
		g.wantNext("15.5s " + alone + "fresh1")
		g.setAnswer(accept)
		time.Sleep(20 * time.Second)
		g.wantOutcomes(accepted(24))
		g.wantPaused()
		if got := g.told("e1"); got != 31500*time.Millisecond {
			t.Errorf("told after %v, want 31.5s", got)
		}
		if got, want := g.requests()[25], "31.5s "+alone+"fresh2"; got != want || len(g.requests()) != 25+1+23 {
			t.Errorf("the last requests are %q, want %q and the held events", g.requests()[25:], want)
		}
		g.report(sequence("more", 50)...)
		g.wantOutcomes(accepted(74))
	})
}

// One at a time, however long it takes.
func TestSlowTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(404), nil)
		g.report(sequence("e", 20)...)
		synctest.Wait()
		g.wantPaused("rejections")
		g.setAnswer(func(w http.ResponseWriter, r received) {
			time.Sleep(5 * time.Second)
			refuse(404)(w, r)
		})
		g.report(sequence("f", 10)...)
		g.wantNext("500ms "+alone+"f1", "6.5s "+alone+"f2", "13.5s "+alone+"f3")
	})
}

// wantNext lets time pass until the last requests are as given.
func (g *rig) wantNext(want ...string) {
	g.t.Helper()
	before := len(g.requests())
	for range want {
		for n := len(g.requests()); len(g.requests()) == n; {
			time.Sleep(250 * time.Millisecond)
			if time.Since(g.start) > time.Hour {
				g.t.Fatalf("no more requests after %q, want %q", g.requests()[before:], want)
			}
		}
	}
	if got := g.requests()[before:]; !slices.Equal(got, want) {
		g.t.Fatalf("the next requests are %q, want %q", got, want)
	}
}

// A batch of refusals is one step of the backoff and not as many as it has
// events; and a pause sends one event at a time whatever the batches are.
func TestPauseWithBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuseEach(404), func(c *rigConfig) { oneWorker(c); c.batch.Size = 30 })
		g.report(sequence("e", 90)...)
		synctest.Wait()
		g.wantRequests("0s /batch " + strings.Join(sequence("e", 30), ","))
		g.wantPaused("rejections")
		g.wantNext("500ms "+alone+"e31", "1.5s "+alone+"e32", "3.5s "+alone+"e33")
		g.setAnswer(refusing("e35"))
		time.Sleep(time.Minute)
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 89, event.Rejected: 1})
	})
}

func refuseEach(status int) func(http.ResponseWriter, received) {
	return func(w http.ResponseWriter, r received) {
		byID := map[string]int{}
		for _, id := range r.ids {
			byID[id] = status
		}
		answerEach(w, r, byID)
	}
}

// An acceptance in the same batch proves the destination, wherever it stands.
func TestRefusalsBesideAnAcceptance(t *testing.T) {
	for _, good := range []string{"e1", "e15", "e30"} {
		t.Run(good, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ids := sequence("e", 30)
				bad := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == good })
				g := newRig(t, refusing(bad...), func(c *rigConfig) { c.batch.Size = 30 })
				g.report(ids...)
				g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 1, event.Rejected: 29})
				if strings.Contains(g.log.String(), "pauses") {
					t.Error("it paused")
				}
			})
		})
	}
}

// A request that was sent before the pause began does not end it.
func TestAnswersThatComeDuringAPause(t *testing.T) {
	for _, late := range []int{200, 400} {
		t.Run(http.StatusText(late), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := func(w http.ResponseWriter, r received) {
					status := 400
					if r.ids[0] == "late" {
						time.Sleep(300 * time.Millisecond)
						status = late
					}
					answerEach(w, r, map[string]int{r.ids[0]: status})
				}
				g := newRig(t, answer, func(c *rigConfig) { c.Concurrency, c.batch.Concurrency = 2, 2 })
				g.report("late")
				synctest.Wait()
				g.report(sequence("e", 20)...)
				synctest.Wait()
				g.wantPaused("rejections")
				time.Sleep(400 * time.Millisecond)
				g.wantPaused("rejections")
				want := map[event.OutcomeKind]int{}
				if late == 200 {
					want = accepted(1)
				}
				g.wantOutcomes(want)
				g.wantNext("500ms "+alone+"e1", "1.5s "+alone+"e2")
			})
		})
	}
}

// A trial that fails for now, or that no request can hold, says nothing; the
// trials continue.
func TestTrialWithoutAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(404), oneWorker)
		g.report(sequence("e", 20)...)
		synctest.Wait()
		large := g.delivery("large")
		large.ExtraInfo = event.InfoOf(map[string]string{"k": strings.Repeat("x", talent.MaxEvent)})
		g.b.Accept([]*event.Delivery{large})
		time.Sleep(500 * time.Millisecond)
		g.wantOutcomes(map[event.OutcomeKind]int{event.TooLarge: 1})
		g.setAnswer(script(refuse(503), refuse(404)))
		g.wantNext("1s "+alone+"e1", "1.5s "+alone+"e1", "2.5s "+alone+"e2")
		g.wantPaused("rejections")
	})
}

func TestPauseOutlivesADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(404), oneWorker)
		g.report(sequence("e", 25)...)
		synctest.Wait()
		if !g.drain(t.Context()) {
			t.Error("the drain says that something is left")
		}
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 25})
		if got := time.Since(g.start); got != 0 {
			t.Errorf("it took %v, want no time", got)
		}
		g.wantPaused("rejections")
		g.term = event.NewTerm()
		time.Sleep(time.Hour)
		before := len(g.requests())
		g.report(sequence("f", 3)...)
		synctest.Wait()
		if got := len(g.requests()); got != before+1 {
			t.Errorf("%d requests at once, want one", got-before)
		}
		g.setAnswer(accept)
		time.Sleep(time.Minute)
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 25, event.Accepted: 3})
	})
}

// Refusals that nothing confirmed yet are for the next owner to find out.
func TestDrainReleasesWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(404), oneWorker)
		g.report("a", "b")
		synctest.Wait()
		g.drain(t.Context())
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 2})
		time.Sleep(time.Minute)
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 2})
	})
}

func TestRunEndsReleasingWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(404), oneWorker)
		g.report("a", "b")
		synctest.Wait()
		g.stop()
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 2})
	})
}

// Whatever the API does, and however often there is a drain, each event is told
// once, an event is only refused where the API refused it, and what is in flight
// is bounded.
func TestEveryEventHasOneOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		count := 0
		answer := func(w http.ResponseWriter, r received) {
			mu.Lock()
			count++
			n := count
			mu.Unlock()
			time.Sleep(time.Duration(n%7) * 10 * time.Millisecond)
			switch n % 13 {
			case 1:
				refuse(503)(w, r)
			case 2:
				refuse(429, "Retry-After: 3")(w, r)
			case 3:
				panic(http.ErrAbortHandler)
			case 4, 5:
				byID := map[string]int{}
				for i, id := range r.ids {
					byID[id] = []int{200, 400, 500, 413, 401, 200}[(i+n)%6]
				}
				answerEach(w, r, byID)
			case 6:
				refuseEach(400)(w, r)
			case 7:
				time.Sleep(time.Hour)
			default:
				accept(w, r)
			}
		}
		g := newRig(t, answer, func(c *rigConfig) {
			c.Timeout, c.Rate = 5*time.Second, 500
			c.batch.Size, c.batch.Linger = 10, 5*time.Millisecond
		})
		const events = 2000
		for i := 0; i < events; i += 20 {
			g.report(sequence(fmt.Sprint(i, "."), 20)...)
			time.Sleep(100 * time.Millisecond)
			if n := g.b.InFlight(); n > 40 {
				t.Fatalf("%d in flight, want at most 40", n)
			}
			if i%400 == 380 {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				if !g.drain(ctx) {
					g.r.Abort()
					g.drain(t.Context())
				}
				cancel()
				g.term = event.NewTerm()
			}
		}
		time.Sleep(time.Hour)
		g.setAnswer(accept)
		g.report("last")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.outcomes) != events+1 {
			t.Errorf("%d of %d events have an outcome", len(g.outcomes), events+1)
		}
		kinds := map[event.OutcomeKind]int{}
		for _, o := range g.outcomes {
			kinds[o.Kind]++
		}
		for _, kind := range []event.OutcomeKind{event.Accepted, event.Rejected, event.TooLarge, event.Released} {
			if kinds[kind] == 0 {
				t.Errorf("no event was %v: %v", kind, kinds)
			}
		}
		if g.b.Pending() != 0 || g.b.InFlight() != 0 {
			t.Errorf("%d pending and %d in flight, want none", g.b.Pending(), g.b.InFlight())
		}
	})
}
