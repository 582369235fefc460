package app

import (
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/reporter"
)

// TestSummary says of each state what the page says first.
func TestSummary(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, test := range map[string]struct {
		change func(*Status)
		level  string
		want   string // the headline
		also   string // in the detail or the advice
	}{
		"flowing": {
			func(s *Status) { s.Rates = Rates{Reported: 812.4, EndToEnd: 0.25} },
			levelOK, "Reporting 812 events/s, up to date", "250 ms after it was published",
		},
		"behind": {
			func(s *Status) { s.Rates = Rates{Reported: 4.75, EndToEnd: 3.2} },
			levelBusy, "Reporting 4.8 events/s, 3.2 s behind", "",
		},
		"behind for the rate limit": {
			func(s *Status) {
				s.Rates = Rates{Reported: 4.75, EndToEnd: 7200}
				s.Reporter.Rate = 5
			},
			levelBusy, "Reporting 4.8 events/s, 2 h behind", "the rate limit of 5.0/s is what holds it up",
		},
		"behind for the learned quota": {
			func(s *Status) {
				s.Rates = Rates{Reported: 4.75, EndToEnd: 7200}
				s.Reporter.Rate, s.Reporter.Learned, s.Reporter.Configured = 5, 5, 50
			},
			levelBusy, "Reporting 4.8 events/s, 2 h behind", "the API's quota, learned to be about 5.0/s, is what holds it up",
		},
		"behind for a rate below the learned quota": {
			func(s *Status) {
				s.Rates = Rates{Reported: 4.75, EndToEnd: 7200}
				s.Reporter.Rate, s.Reporter.Learned, s.Reporter.Configured = 5, 50, 5
			},
			levelBusy, "Reporting 4.8 events/s, 2 h behind", "the rate limit of 5.0/s is what holds it up",
		},
		"idle":          {func(*Status) {}, levelOK, "Up to date: nothing to report", ""},
		"only children": {func(s *Status) { s.Backlog = Backlog{Records: 2, Waiting: 2} }, levelOK, "Up to date: 2 events wait for their parents", ""},
		"nothing moves": {
			func(s *Status) { s.Backlog = Backlog{Records: 12345} },
			levelBusy, "Nothing was reported in the last ten seconds", "12,345 records",
		},
		"standing by": {func(s *Status) { s.Partitions = []consumer.PartitionStatus{} }, levelOK, "Standing by: other replicas have all the partitions", ""},
		"draining": {
			func(s *Status) { s.Ready, s.NotReady, s.InFlight = false, "draining", 1 },
			levelPaused, "Draining: finishing what is in flight", "1 event in flight",
		},
		"joining": {
			func(s *Status) { s.Ready, s.NotReady, s.Partitions = false, "not a member", nil },
			levelBusy, "Joining the consumer group", "see the log",
		},
		"held up before the group": {
			func(s *Status) {
				s.Ready, s.NotReady, s.Partitions = false, "not a member of the consumer group: topic t does not exist", nil
			},
			levelBad, "Held up: the consumer group can't be joined", "Topic t does not exist.",
		},
		"silent brokers": {
			func(s *Status) {
				s.unleased = true
				s.Partitions[0].Trouble = consumer.TroubleState
			},
			levelBad, "Held up: the brokers don't answer", "others may have them by now",
		},
		"without partitions there is no lease": {
			func(s *Status) { s.unleased, s.Partitions = true, []consumer.PartitionStatus{} },
			levelOK, "Standing by: other replicas have all the partitions", "",
		},
		"reading state": {
			func(s *Status) {
				s.Ready, s.NotReady = false, "reading the state of partitions 1"
				s.Partitions[0].Remaining = 5000
			},
			levelBusy, "Starting: reading the state of partitions 1", "5,000 state records",
		},
		"credentials": {
			func(s *Status) {
				s.Reporter.Paused = []string{"auth"}
				s.Reporter.Gate = reporter.GateStatus{Reason: reporter.Unauthenticated, Since: now.Add(-90 * time.Second), NextTry: now.Add(30 * time.Second), LastError: "401"}
			},
			levelBad, "Paused: the API refuses the credentials", "For 90 s; the next try is in 30 s. It said: 401",
		},
		"no token": {
			func(s *Status) {
				s.Reporter.Paused, s.Reporter.TokenError = []string{"auth"}, "500 Internal Server Error"
			},
			levelBad, "Paused: there is no access token", "The last try said: 500 Internal Server Error",
		},
		"no token, and the last one ended on its way": {
			func(s *Status) {
				s.Reporter.Paused, s.Reporter.TokenError = []string{"auth"}, "500 Internal Server Error"
				s.Reporter.TokenExpiry = now.Add(-90 * time.Second)
				s.Reporter.Gate = reporter.GateStatus{Reason: reporter.Unauthenticated, Since: now.Add(-90 * time.Second), LastError: "401"}
			},
			levelBad, "Paused: there is no access token", "The last try said: 500 Internal Server Error",
		},
		"a token that is refused while none replaces it": {
			func(s *Status) {
				s.Reporter.Paused, s.Reporter.TokenError = []string{"auth"}, "500 Internal Server Error"
				s.Reporter.TokenExpiry = now.Add(time.Minute)
				s.Reporter.Gate = reporter.GateStatus{Reason: reporter.Unauthenticated, Since: now.Add(-90 * time.Second), LastError: "401"}
			},
			levelBad, "Paused: the API refuses the credentials", "It said: 401",
		},
		"too short for a pause": {
			func(s *Status) {
				s.Reporter.Gate = reporter.GateStatus{Reason: reporter.Throttled, Since: now.Add(-3 * time.Second)}
			},
			levelBusy, "Waiting: the API asks to go slower", "For 3.0 s",
		},
		"state topic": {
			func(s *Status) { s.Partitions[0].Trouble = consumer.TroubleState },
			levelBad, "Held up: the state topic can't be written", "partition 7",
		},
	} {
		s := Status{
			Ready: true, Now: now, Partitions: []consumer.PartitionStatus{{Partition: 7, Restored: true}},
			Reporter: reporter.Status{Gate: reporter.GateStatus{Open: true}},
		}
		test.change(&s)
		got := summarize(&s)
		if got.Level != test.level || got.Headline != test.want || !strings.Contains(got.Detail+got.Advice, test.also) {
			t.Errorf("%s: got %+v, want level %q, headline %q and %q", name, got, test.level, test.want, test.also)
		}
	}
}

// TestEveryPauseIsExplained: whatever the reporter and the consumer call a pause
// has a text that says what to do.
func TestEveryPauseIsExplained(t *testing.T) {
	for _, name := range reporter.Pauses() {
		if text := pauseTexts[name]; text.Headline == "" || text.Advice == "" {
			t.Errorf("no text says what %q means and what to do", name)
		}
	}
	for _, reason := range reporter.Reasons() {
		if gateTexts[reason] == "" {
			t.Errorf("no text says what %q means", reason)
		}
	}
	for _, reason := range event.Reasons() {
		if meaning(reason) == "" {
			t.Errorf("no text says what the dead letters' reason %q means", reason)
		}
	}
}

func TestRates(t *testing.T) {
	m := &monitor{}
	began := time.Now()
	for i := range samplesKept + 5 {
		m.keep(sample{Time: began.Add(time.Duration(i) * sampleEvery), Reported: uint64(100 * i), accepted: uint64(i), seconds: float64(i) / 2, throttled: float64(i)})
	}
	if n := len(m.history().Samples); n != samplesKept {
		t.Errorf("%d samples are kept: want %d", n, samplesKept)
	}
	last := m.samples[len(m.samples)-1]
	before, ok := m.before(last.Time.Add(-rateSpan))
	if got := ratesBetween(before, last); !ok || got.Reported != 50 || got.EndToEnd != 0.5 || got.Throttled != 0.5 {
		t.Errorf("rates are %+v: want 50 a second, 0.5 s, and half of the time throttled", got)
	}
	if got := ratesBetween(last, last); got != (Rates{}) {
		t.Errorf("the rates of no time are %+v", got)
	}
}

func TestTexts(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q: want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 14 * time.Millisecond: "14 ms", 3200 * time.Millisecond: "3.2 s",
		59 * time.Second: "59 s", 3 * time.Minute: "3 min", 50 * time.Hour: "50 h",
	} {
		if got := lasting(d); got != want {
			t.Errorf("lasting(%v) = %q: want %q", d, got, want)
		}
	}
}
