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

func TestRefusalIsToldWhenAnotherIsAccepted(t *testing.T) {
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
		g.report("good")
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 1, event.Rejected: 1})
		if got := g.told("bad"); got != 300*time.Millisecond {
			t.Errorf("told after %v, want 300ms", got)
		}
	})
}

func TestRefusalIsToldWhenNothingElseComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(400), nil)
		g.report("a")
		time.Sleep(900 * time.Millisecond)
		g.report("b") // another answer: the second begins anew
		time.Sleep(time.Minute)
		g.wantOutcomes(rejected(2))
		for _, id := range []string{"a", "b"} {
			if got := g.told(id); got != 1900*time.Millisecond {
				t.Errorf("%s told after %v, want 1.9s", id, got)
			}
		}
		g.wantPaused()
	})
}

// A trickle of events that are all refused is a row, too.
func TestTrickleOfRefusalsPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(404), nil)
		for i := range 19 {
			g.report(fmt.Sprint(i))
			time.Sleep(2 * time.Second)
		}
		g.wantOutcomes(rejected(19))
		g.wantPaused()
		g.report("the twentieth")
		time.Sleep(time.Minute)
		g.wantOutcomes(rejected(19))
		g.wantPaused("rejections")
	})
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
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 1, event.Rejected: 23})
		g.wantPaused()
		if got := g.told("e1"); got != 31500*time.Millisecond {
			t.Errorf("told after %v, want 31.5s", got)
		}
		if got, want := g.requests()[25:], []string{"31.5s " + alone + "fresh2"}; !slices.Equal(got, want) {
			t.Errorf("the last requests are %q, want %q", got, want)
		}
		g.report(sequence("more", 50)...)
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 51, event.Rejected: 23})
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
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 56, event.Rejected: 34})
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

// What was on its way when the pause began may end it, or joins what is held.
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
				if late == 200 {
					g.wantPaused()
					g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 1, event.Rejected: 20})
					return
				}
				g.wantPaused("rejections")
				g.wantOutcomes(map[event.OutcomeKind]int{})
				g.wantNext("500ms "+alone+"e1", "1.5s "+alone+"e2")
			})
		})
	}
}

// A trial that fails for now, or that no request can hold, says nothing; the
// trials go on.
func TestTrialWithoutAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(404), oneWorker)
		g.report(sequence("e", 20)...)
		synctest.Wait()
		large := g.delivery("large")
		large.ExtraInfo = map[string]string{"k": strings.Repeat("x", maxBody)}
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
		if !g.b.Drain(t.Context()) {
			t.Error("the drain says that something is left")
		}
		g.r.Release()
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 25})
		if got := time.Since(g.start); got != 0 {
			t.Errorf("it took %v, want no time", got)
		}
		g.wantPaused("rejections")
		g.b.Resume()
		time.Sleep(time.Hour)
		before := len(g.requests())
		g.report(sequence("f", 3)...)
		synctest.Wait()
		if got := len(g.requests()); got != before+1 {
			t.Errorf("%d requests at once, want one", got-before)
		}
		g.setAnswer(accept)
		time.Sleep(time.Minute)
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 25, event.Accepted: 2, event.Rejected: 1})
	})
}

// Refusals that nothing confirmed yet are for the next owner to find out.
func TestDrainReleasesWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(404), oneWorker)
		g.report("a", "b")
		synctest.Wait()
		g.b.Drain(t.Context())
		g.r.Release()
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
				if !g.b.Drain(ctx) {
					g.r.Abort()
					g.b.Drain(t.Context())
				}
				cancel()
				g.r.Release()
				g.b.Resume()
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
