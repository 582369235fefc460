package reporter

import (
	"math"
	"time"
)

// noise tells refusals for a quota from those that come at random. Some destinations
// refuse a few calls at any rate, beside a quota or without one.
//
// A quota that is used up refuses nearly everything, so a refusal is for the quota
// where there are more of them in a row than the noise explains. A quota that is
// exceeded by a little refuses some calls here and there, as noise does; what tells
// them apart is a lower rate, at which only noise continues.
type noise struct {
	share  float64 // of the calls is refused at random
	run    tally   // since the last request that was accepted whole
	period tally   // since began
	began  time.Time

	// Refusals at ever lower rates.
	restless int // refusals in a row, without a calm between
	from     float64
	early    tally // the answers in the meantime

	// A lower rate is tried, since more was refused.
	trying bool
	before float64 // the rate before
	had    float64 // the refused share before
}

// tally counts answers.
type tally struct{ accepted, refused float64 }

func (t tally) sum() float64   { return t.accepted + t.refused }
func (t tally) share() float64 { return t.refused / max(1, t.sum()) }

func (t *tally) add(accepted, refused float64) {
	t.accepted += accepted
	t.refused += refused
}

const (
	// tooRestless is the number of refusals after which they are not for the rate, if it
	// is less than restlessRate of what it was, and they continue. Where more is refused
	// than muchNoise, the other two are.
	tooRestless, restlessRate         = 6, 0.5
	muchNoise                         = 0.08
	tooRestlessMuch, restlessRateMuch = 12, 1.0 / 8
	// After plainlyRestless of them, a rate that stays above restlessRateMuch is no doubt.
	plainlyRestless = 4 * tooRestlessMuch
	mostNoise       = 0.6
	// fewSent is how many events at most are accepted between a wait and the refusal after
	// which the next wait is suspect: a quota by the minute of more accepts more.
	fewSent = 8
	// Noise of less than silence is none.
	silence = 0.002
	// periodCalls is the number of answers over which a share is measured.
	periodCalls = 200
	longPeriod  = 10 * time.Minute
	// longTry is for how long a lower rate is tried, and longestTry where few events go.
	longTry, longestTry = 30 * time.Second, 5 * time.Minute
	// eased is the part of what was accepted that is tried when more is refused than
	// usual.
	eased = 0.95
)

// answered counts the answers to a request. It reports whether refused calls are for a
// quota that is used up.
func (n *noise) answered(q *quota, accepted, refused float64, now time.Time) (exhausted bool) {
	q.pay(accepted, refused)
	if now.Before(q.resumed) && q.base > 0 {
		return refused > 0
	}
	if q.base > 0 && q.sent == 0 && accepted == 0 && refused > 0 {
		return true // as before
	}
	n.early.add(accepted, refused)
	if refused == 0 {
		n.run = tally{}
	} else {
		n.run.add(accepted, refused)
		of, more := n.share*n.run.sum(), 0.0
		if n.share > silence {
			more = 2
		}
		if n.run.refused > of+4*math.Sqrt(of)+more {
			n.run = tally{}
			n.period, n.began = tally{}, now
			return true
		}
	}
	if n.share > 0 {
		n.period.add(accepted, refused)
		n.judge(q, now)
	}
	return false
}

// judge looks at a period's refusals.
func (n *noise) judge(q *quota, now time.Time) {
	all := n.period.sum()
	excess := n.period.refused > n.explained(all)
	if !excess && all < periodCalls && now.Sub(n.began) < longPeriod {
		return
	}
	p, lasted := n.period, now.Sub(n.began)
	n.period, n.began = tally{}, now
	trying, likely := n.trying, muchNoise
	if n.share > muchNoise && q.fleet <= 1 { // or else it may be the others' calls
		likely = mostNoise
	}
	n.trying = false
	switch {
	case trying && excess && p.share() <= likely && p.share() > 0.8*n.had:
		// As much is refused at the lower rate.
		n.share = p.share()
		q.base = max(q.base, n.before)
		q.rate = q.base
	case excess:
		n.trying, n.had, n.before = true, p.share(), q.base
		if !q.growing.since.IsZero() {
			q.failed++
		}
		q.ease(p.accepted/max(lasted.Seconds(), 0.1), now)
	case q.growing.since.IsZero() && p.share() <= max(n.share, muchNoise):
		if n.share += (p.share() - n.share) * all / periodCalls / 4; n.share < silence/2 {
			n.share = 0
		}
	}
}

// explained is the most of so many calls that the noise refuses.
func (n *noise) explained(calls float64) float64 {
	of := max(n.share, 0.005) * calls
	return of + 3*math.Sqrt(of) + 3
}

// tried reports whether a lower rate was tried for long enough: what is refused at it is
// nearer to the noise than to what was refused before.
func (n *noise) tried(now time.Time) bool {
	lasted := now.Sub(n.began)
	return lasted >= longestTry || lasted >= longTry && n.period.share() < (n.share+n.had)/2
}

// ease continues at a rate at which less may be refused.
func (q *quota) ease(accepted float64, now time.Time) {
	q.base = max(least, accepted*eased)
	q.rate = q.base
	q.growing.since = time.Time{}
	q.refused, q.resumed, q.blocked, q.accepted, q.sent, q.usual = now, now, 0, 0, 0, 0
}

// suspect counts a refusal. Where refusals continue at any rate, it takes them for noise.
// Where there is much of it, what was learned of it is forgotten, and it returns true.
func (n *noise) suspect(q *quota, first bool) bool {
	switch {
	case first || q.accepted >= periodCalls:
		n.restless, n.from, n.early = 0, q.base, tally{}
	case q.accepted > 0 && (q.growing.since.IsZero() || q.rate < n.from*restlessRateMuch):
		if n.restless++; q.base < 1 {
			n.restless += 2 // each takes long then
		}
	}
	n.from = max(n.from, q.base)
	return n.conclude(q)
}

// suspectProbe counts a refusal after a wait, before anything was accepted. A quota that is
// used up refuses so, too. But where few events were accepted before the wait, at a low rate,
// and many were refused, it may be noise. Then such refusals are most of what is to be seen:
// there is one event in a wait, or in the long time between two events.
func (n *noise) suspectProbe(q *quota) {
	if q.base == 0 || q.base >= 1 || q.fleet > 1 || q.before.sent > fewSent || n.early.share() <= muchNoise {
		return
	}
	n.restless += 2
	n.early.refused++ // it has those that were accepted after a wait
	n.conclude(q)
}

// conclude takes the refusals for noise where there were enough, see suspect.
func (n *noise) conclude(q *quota) bool {
	share := n.early.share()
	least, rate := tooRestless, restlessRate*n.from
	if share > muchNoise && q.fleet > 1 {
		return false // it may be the others' calls
	}
	if share > muchNoise {
		least, rate = tooRestlessMuch, max(restlessRateMuch*n.from, 1)
		if n.restless >= plainlyRestless {
			rate = restlessRate * n.from
		}
	}
	if n.restless < least || q.base > rate {
		return false
	}
	*n = noise{share: min(share, mostNoise)}
	q.failed = 0
	if share > muchNoise {
		*q = quota{recent: q.recent, fleet: q.fleet, noise: *n}
		return true
	}
	return false
}
