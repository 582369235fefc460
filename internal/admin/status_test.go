package admin

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/internal/quality"
)

// TestEveryReasonHasAMeaning: each reason of a dead letter is explained.
func TestEveryReasonHasAMeaning(t *testing.T) {
	for _, reason := range event.Reasons() {
		if meaning(reason) == "" {
			t.Errorf("no text says what the dead letters' reason %q means", reason)
		}
	}
}

// TestTroublesHaveTexts: the page names each trouble of a partition.
func TestTroublesHaveTexts(t *testing.T) {
	page, err := os.ReadFile("page/page.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, trouble := range consumer.Troubles() {
		if !strings.Contains(string(page), string(trouble)+`: "`) {
			t.Errorf("page.js has no text for %q", trouble)
		}
	}
}

// TestQualityRulesHaveTexts: the page has words for each rule about journeys.
func TestQualityRulesHaveTexts(t *testing.T) {
	page, err := os.ReadFile("page/page.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range quality.Rules() {
		if !strings.Contains(string(page), string(rule)+`: "`) {
			t.Errorf("page.js has no text for %q", rule)
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
	if got := ratesBetween(last, last); got != (health.Rates{}) {
		t.Errorf("the rates of no time are %+v", got)
	}
}

// TestRecent: the share of dead letters is that of the last minutes, by reason.
func TestRecent(t *testing.T) {
	began := time.Now()
	a := sample{Time: began, Reported: 100, DeadLetter: 10, letters: map[string]uint64{"malformed": 10}}
	b := sample{Time: began.Add(recentSpan), Reported: 130, DeadLetter: 20, letters: map[string]uint64{"malformed": 10, "rejected": 10}}
	if got := recentBetween(a, b); got.Records != 40 || got.DeadLetter != 10 || got.Share != 0.25 || got.Seconds != 300 || len(got.Letters) != 1 || got.Letters["rejected"] != 10 {
		t.Errorf("got %+v, want 10 of 40, all rejected", got)
	}
}

// TestQuietWhileRecordsWait: time in which there is nothing to do is not quiet.
func TestQuietWhileRecordsWait(t *testing.T) {
	began := time.Now()
	m := &monitor{moved: began}
	at := func(second int, s sample) time.Duration {
		s.Time = began.Add(time.Duration(second) * time.Second)
		m.keep(s)
		return s.Time.Sub(m.moved)
	}
	for _, step := range []struct {
		second int
		sample sample
		quiet  time.Duration
	}{
		{0, sample{}, 0},
		{100, sample{}, 0},
		{110, sample{backlog: 5}, 10 * time.Second},
		{150, sample{backlog: 5}, 50 * time.Second},
		{160, sample{backlog: 4, DeadLetter: 1}, 0},
		{170, sample{backlog: 4, DeadLetter: 1}, 10 * time.Second},
	} {
		if got := at(step.second, step.sample); got != step.quiet {
			t.Errorf("quiet for %s at %d s, want %s", got, step.second, step.quiet)
		}
	}
}
