package reporter

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// These clients stand beside the learner, to judge it by.

// pacer sends at a rate, in calls a second. It knows what the destination counts.
type pacer struct {
	d       *destination
	rate    float64
	atOnce  float64 // calls of a request; 0 for what comes in burstTime
	credit  float64
	at      time.Time
	blocked time.Time // nothing goes before
}

func (p *pacer) ask(n int, now time.Time) (int, time.Duration, pass) {
	if now.Before(p.blocked) {
		p.at = now
		return 0, p.blocked.Sub(now), pass{}
	}
	calls := cmp.Or(p.atOnce, ordinary(p.rate))
	if p.d.requests {
		calls = 1
	}
	p.credit = min(p.credit+p.rate*now.Sub(p.at).Seconds(), calls+p.rate*catchUp.Seconds())
	p.at = now
	if p.credit < calls {
		return 0, time.Duration((calls-p.credit)/p.rate*float64(time.Second)) + 1, pass{}
	}
	p.credit -= calls
	if !p.d.requests {
		n = min(n, int(calls))
	}
	return n, 0, pass{}
}

// oracle knows the quota and when it steps. It sends even parts of its share, as small as
// its workers can, and a refusal shifts its next call at random, by which replicas find
// times that no other one has. It knows nothing else of the other replicas, and not how
// long a call will take: so it is about what can be reached.
type oracle struct {
	pacer
	s    *simulation
	pace float64 // the part of the quota that is sent
}

// paces are what an oracle tries: where calls collide, less of them are accepted more often.
var paces = []float64{1, 0.95, 0.8}

func newOracle(pace float64) func(*simulation) client {
	return func(s *simulation) client { return &oracle{pacer{d: &s.destination}, s, pace} }
}

func (o *oracle) ask(n int, now time.Time) (int, time.Duration, pass) {
	o.rate = o.pace * o.s.perSecond / float64(o.d.replicas) / (1 - o.d.noise)
	o.atOnce = math.Ceil(1.5 * o.rate * o.d.latency.Seconds() / float64(o.d.workers()))
	return o.pacer.ask(n, now)
}

func (o *oracle) answered(_ pass, n, taken int, _ time.Duration, _ time.Time) {
	if taken < n {
		o.credit += o.s.rng.Float64() - 0.5
	}
}

// The methods that the learner is compared with have it easier. They are told what the
// destination counts, and nothing is refused at random. They start at a call a second, which
// doubles each second until the first refusal.

// method finds a rate in its own way.
type method interface {
	// accepted changes the rate so many seconds after the last answer.
	accepted(r *rival, since float64)
	// refused returns the rate after a refusal for which sending stops.
	refused(r *rival) float64
}

// rival paces by a method's rate. After a refusal it waits as long as the destination asks,
// or a second, and twice as long each time while nothing is accepted.
type rival struct {
	pacer
	method
	now     time.Time
	began   bool      // refused once
	resumed time.Time // when sending began after the last refusal
	sent    float64   // accepted since
	wait    time.Duration
}

func newRival(m func() method) func(*simulation) client {
	return func(s *simulation) client {
		s.noise = 0
		return &rival{pacer: pacer{d: &s.destination, rate: 1}, method: m()}
	}
}

func (r *rival) answered(_ pass, n, taken int, named time.Duration, now time.Time) {
	calls := func(n int) float64 {
		if r.d.requests {
			return float64(min(n, 1))
		}
		return float64(n)
	}
	since := now.Sub(cmp.Or(r.now, now)).Seconds()
	if r.now, r.resumed = now, cmp.Or(r.resumed, now); !r.began {
		r.rate = min(most, r.rate*math.Exp2(min(since, 1)))
	}
	if !now.Before(r.resumed) {
		r.sent += calls(taken)
	}
	r.accepted(r, since)
	if taken == n || now.Before(r.resumed) {
		return
	}
	if r.wait = min(2*r.wait, time.Minute); r.sent > 0 || !r.began {
		r.wait = time.Second
		r.rate, r.began = max(least, r.refused(r)), true
	}
	r.blocked = now.Add(max(named, r.wait))
	r.resumed, r.sent = r.blocked, 0
}

// aimd adds a call a second in ten seconds, and takes a fifth away.
type aimd struct{}

func (aimd) accepted(r *rival, since float64) { r.rate += since / 10 / float64(r.d.replicas) }
func (aimd) refused(r *rival) float64         { return r.rate * 0.8 }

// estimator takes for the quota what was accepted from one opening to the next. A
// twentieth more each ten seconds finds where it ends.
type estimator struct{ opened time.Time }

func (e *estimator) accepted(r *rival, since float64) {
	if r.began {
		r.rate *= 1 + min(since, 10)/200
	}
}

func (e *estimator) refused(r *rival) float64 {
	from := cmp.Or(e.opened, r.resumed)
	e.opened = r.now
	return r.sent / max(r.now.Sub(from).Seconds(), 1)
}

// prober sends at the highest rate of delivery of the last ten rounds, times a gain that is
// more than 1 in one round of eight, and less in the next, as BBR does. Refusals end a
// round; they say nothing else.
type prober struct {
	round  int
	began  time.Time
	rates  [10]float64
	sentAt float64
}

const roundTime = 4 * time.Second

func (p *prober) accepted(r *rival, _ float64) {
	p.began = cmp.Or(p.began, r.now)
	if lasted := r.now.Sub(p.began); lasted >= roundTime {
		p.end(r, lasted)
	}
}

func (p *prober) end(r *rival, lasted time.Duration) {
	p.rates[p.round%len(p.rates)] = (r.sent - p.sentAt) / max(lasted, roundTime/4).Seconds()
	p.round, p.began, p.sentAt = p.round+1, r.now, r.sent
	if !r.began {
		return
	}
	gain := 1.0
	switch p.round % 8 {
	case 0:
		gain = 1.25
	case 1:
		gain = 0.75
	}
	r.rate = max(least, gain*slices.Max(p.rates[:]))
}

func (p *prober) refused(r *rival) float64 {
	p.end(r, r.now.Sub(p.began))
	p.sentAt = 0
	return r.rate
}
