// Package journey generates the traffic of a job board: job seekers who search,
// view some of the results, and apply to a few.
//
// The same seed gives the same journeys, whatever the machine.
package journey

import (
	"container/heap"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Options configure a generator.
type Options struct {
	Seed    uint64
	Version event.Version
	// Parent is the prefix of job names; "" is projects/demo, with a tenant
	// for v4.
	Parent string
	// Start is the time of the first search.
	Start time.Time
	// Gap is the mean time between two searches; default 20 ms. A search leads
	// to about eight events.
	Gap time.Duration
	// Search, if not nil, answers searches instead of the generator: with a
	// request ID and the names of some jobs, at least one and at most as many as
	// requested. The same seed gives the same journeys only if its
	// answers are the same.
	Search func(most int) (requestID string, jobs []string)
}

// EventGap is the mean time between two events with the default gap.
const EventGap = 3 * time.Millisecond

// Generator generates events.
type Generator struct {
	o     Options
	rng   *rand.Rand
	jobs  []string
	popul *rand.Zipf
	now   time.Time // of the next search
	due   byTime
	next  uint64 // numbers ids
}

// New returns a generator.
func New(o Options) *Generator {
	if o.Parent == "" {
		o.Parent = "projects/demo"
		if o.Version == event.V4 {
			o.Parent += "/tenants/demo"
		}
	}
	if o.Gap == 0 {
		o.Gap = 20 * time.Millisecond
	}
	g := &Generator{o: o, rng: rand.New(rand.NewPCG(o.Seed, 0x6a6f6273)), now: o.Start.UTC()}
	const jobs = 5000
	for i := range jobs {
		g.jobs = append(g.jobs, fmt.Sprintf("%s/jobs/%08d", o.Parent, 10_000_000+i))
	}
	// A few jobs draw most of the interest.
	g.popul = rand.NewZipf(g.rng, 1.1, 20, jobs-1)
	return g
}

// Events generates events without end, in the order of their times.
func (g *Generator) Events() iter.Seq[*event.Event] {
	return func(yield func(*event.Event) bool) {
		for {
			for len(g.due) == 0 || !g.due[0].Time.Before(g.now) {
				g.begin()
			}
			if !yield(heap.Pop(&g.due).(*event.Event)) {
				return
			}
		}
	}
}

// pick returns the result of a search: n jobs, popular ones more often.
func (g *Generator) pick(n int) []string {
	jobs := make([]string, 0, n)
	for len(jobs) < n {
		if job := g.jobs[g.popul.Uint64()]; !slices.Contains(jobs, job) {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// seeker is one job seeker's journey after a search.
type seeker struct {
	g         *Generator
	at        time.Time
	requestID string
}

// begin starts one more journey and moves the clock to the next.
func (g *Generator) begin() {
	s := &seeker{g: g, at: g.now, requestID: g.requestID()}
	g.now = g.now.Add(time.Duration(g.rng.ExpFloat64() * float64(g.o.Gap)))
	start, shown := event.Impression, 5+g.rng.IntN(16)
	if g.chance(0.06) {
		start, shown = event.Notification, 3+g.rng.IntN(5)
	}
	jobs := g.pick(shown)
	if g.o.Search != nil {
		s.requestID, jobs = g.o.Search(shown)
	}
	first := s.does(start, "", jobs...)
	for _, job := range jobs {
		switch {
		case g.chance(0.22):
			s.looksAt(first.ID, job)
		case start == event.Impression && g.chance(0.01):
			s.appliesFromSearch(first.ID, job)
		case g.chance(0.01):
			s.does(event.Bookmark, first.ID, job)
		case g.o.Version == event.V3 && g.chance(0.02):
			s.does(event.NotInterested, first.ID, job)
		}
	}
}

func (s *seeker) looksAt(parent, job string) {
	if s.g.chance(0.05) {
		s.does(event.ViewRedirect, parent, job)
		return
	}
	view := s.does(event.View, parent, job)
	switch {
	case s.g.chance(0.06):
		s.does(event.Bookmark, view.ID, job)
	case s.g.chance(0.10):
		start := s.does(event.ApplicationStart, view.ID, job)
		if s.g.chance(0.7) {
			s.outcome(s.does(event.ApplicationFinish, start.ID, job).ID, job)
		}
	case s.g.chance(0.05):
		s.outcome(s.does(event.ApplicationQuickSubmission, view.ID, job).ID, job)
	case s.g.chance(0.04):
		s.does(event.ApplicationRedirect, view.ID, job)
	case s.g.chance(0.01):
		s.outcome(s.does(event.ApplicationCompanySubmit, view.ID, job).ID, job)
	case s.g.chance(0.01):
		s.outcome(s.does(event.SentCV, view.ID, job).ID, job)
	}
}

func (s *seeker) appliesFromSearch(parent, job string) {
	if s.g.chance(0.5) {
		s.does(event.ApplicationRedirectFromSearch, parent, job)
		return
	}
	start := s.does(event.ApplicationStartFromSearch, parent, job)
	if s.g.chance(0.6) {
		s.outcome(s.does(event.ApplicationFinish, start.ID, job).ID, job)
	}
}

// outcome adds the outcome of an application in some cases.
func (s *seeker) outcome(application, job string) {
	if !s.g.chance(0.15) {
		return
	}
	interview := s.does(event.InterviewGranted, application, job)
	if s.g.chance(0.4) {
		s.does(event.Hired, interview.ID, job)
	}
}

// does creates one event after a pause.
func (s *seeker) does(what event.Type, parent string, jobs ...string) *event.Event {
	g := s.g
	e := &event.Event{
		ID:        g.id(),
		RequestID: s.requestID,
		ParentID:  parent,
		Time:      s.at.Truncate(time.Millisecond),
		Type:      what,
		Jobs:      jobs,
	}
	e.CreateTime = e.Time.Format("2006-01-02T15:04:05.000Z07:00")
	g.annotate(e)
	heap.Push(&g.due, e)
	s.at = s.at.Add(time.Duration(1+g.rng.IntN(900)) * time.Millisecond)
	return e
}

var (
	devices = []string{"desktop", "phone", "tablet"}
	cities  = []string{"München", "Kraków", "São Paulo", "東京", "Montréal", "Zürich"}
)

// annotate adds the optional fields that applications send.
func (g *Generator) annotate(e *event.Event) {
	if g.o.Version != event.V3 {
		if g.chance(0.1) {
			e.Notes = "from " + cities[g.rng.IntN(len(cities))]
		}
		return
	}
	if !g.chance(0.5) {
		return
	}
	info := map[string]string{"device": devices[g.rng.IntN(len(devices))]}
	if g.chance(0.3) {
		info["city"] = cities[g.rng.IntN(len(cities))]
	}
	if g.chance(0.2) {
		info["position"] = fmt.Sprint(1 + g.rng.IntN(20))
	}
	e.ExtraInfo = event.InfoOf(info)
}

func (g *Generator) chance(p float64) bool { return g.rng.Float64() < p }

// id is a UUID of version 4, guaranteed to be unique within the generator.
func (g *Generator) id() string {
	g.next++
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], g.rng.Uint64())
	binary.BigEndian.PutUint64(b[8:], g.next<<16|g.rng.Uint64()&0xffff)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// requestID has the form of request IDs in search answers.
func (g *Generator) requestID() string {
	var b [24]byte
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], g.rng.Uint64())
	}
	return g.id() + ":" + base64.StdEncoding.EncodeToString(b[:])
}

// byTime is a heap of events, the earliest first.
type byTime []*event.Event

func (h byTime) Len() int { return len(h) }

func (h byTime) Less(i, j int) bool {
	if h[i].Time.Equal(h[j].Time) {
		return h[i].ID < h[j].ID // any order, but always the same
	}
	return h[i].Time.Before(h[j].Time)
}

func (h byTime) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *byTime) Push(x any)   { *h = append(*h, x.(*event.Event)) }

func (h *byTime) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
