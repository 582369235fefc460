package reporter

import (
	"math"
	"time"
)

// quota learns how many events a second the destination takes, from its
// refusals (429).
//
// Nothing is known until the first one. From then on there is a base, the rate
// that the destination is believed to bear, and sending keeps to it. A quota can
// be found only by going beyond it, and what is refused was sent in vain, so
// that is done seldom: after a calm, the rate grows from the base until there is
// a refusal. It does not grow beyond twice the base before that is shown to be
// borne, that is, before more was accepted than a window of the base would
// explain; then what was reached is the new base.
//
// What a refusal tells depends on how the destination counts, which nobody says
// (Google's quotas are by the minute): between two of them a bucket of tokens is
// emptied once, and a window is used up once. So what was accepted since sending
// began again, over that time and the wait that follows, is the quota. When the
// destination names the wait that is exact, otherwise it may be too little, and
// the base is lowered in steps.
//
// It is not safe for concurrent use.
type quota struct {
	base float64 // events a second; 0 while nothing is known
	rate float64 // what is allowed now: base, or more while trying for more

	began    time.Time     // when sending began (again, after a refusal)
	accepted float64       // since then
	blocked  time.Duration // of that time, when everything was refused
	calm     time.Time     // until then base is kept to
	news     time.Time     // until then refusals are news, see firstCalm
	window   time.Duration

	pressed time.Time // when the rate last held something back
	grown   time.Time // when the rate last grew; zero while it does not
	proving struct {  // that more than base is borne
		since    time.Time
		accepted float64
	}
	rebased bool // the base was raised since the last refusal
	doubt   int  // for so many tries, a rate tried is not taken for the base
	bucket  bool // it seems to be a bucket, and not windows
	slow    bool // the base was lowered for a refusal that was long in coming

	recent meter

	// Not every refusal is for a rate: there are destinations that refuse here and
	// there, whatever is sent. They are known by refusing on, however slowly.
	restless     int       // refusals one after the other, without a calm between
	restlessFrom float64   // the highest base in the meantime
	stumbling    time.Time // until then, refusals here and there say nothing
	lately       tally     // the answers while it stumbles
}

// tally counts answers.
type tally struct{ accepted, refused float64 }

func (t tally) share() float64 { return t.refused / (t.accepted + t.refused) }

const (
	// tooRestless is after how many refusals they are not for the rate: it is an
	// eighth by now, or hardly anything, and they go on. stumblingTime is for how
	// long that is believed after the last of them.
	tooRestless   = 12
	stumblingTime = 10 * time.Minute
	// A quota that is used up refuses nearly everything: nine of ten, of so many.
	// It is looked for in so many answers at a time.
	exhaustedShare, exhaustedOf, lately = 0.9, 20, 64
)

// exhausted notes that so many events were refused, and says whether that is for
// the quota. Where the destination stumbles it is not, unless nearly everything
// is refused.
func (q *quota) exhausted(refused int, now time.Time) bool {
	if !now.Before(q.stumbling) {
		return true
	}
	q.tell(0, refused)
	if q.lately.refused >= exhaustedOf && q.lately.share() >= exhaustedShare {
		return true
	}
	q.stumbling = now.Add(stumblingTime)
	return false
}

// tell counts answers while the destination stumbles.
func (q *quota) tell(accepted, refused int) {
	if q.lately.accepted+q.lately.refused >= lately {
		q.lately.accepted /= 2
		q.lately.refused /= 2
	}
	q.lately.accepted += float64(accepted)
	q.lately.refused += float64(refused)
}

// wasCalm says whether the base was borne for long enough, in time and in events,
// to be worth something.
func (q *quota) wasCalm(now time.Time) bool {
	return now.Sub(q.began) > settled && q.accepted >= max(20, min(200, 80*q.base))
}

// stumble gives up what was learned: the refusals are not for the rate.
func (q *quota) stumble(now time.Time) {
	*q = quota{recent: q.recent, stumbling: now.Add(stumblingTime)}
}

const (
	// calmTime is how long a base is kept to at the least, and calmEvents for
	// how many events: a refusal or two among them are less than a hundredth.
	calmTime   = 50 * time.Second
	lowCalm    = 42 * time.Second // below lowBase, from where the way up is longer
	lowBase    = 20
	calmEvents = 120
	slowCalm   = 2 * time.Minute // for so many events at the most
	maxCalm    = 10 * time.Minute
	// firstCalm is for a base that was found while the rate did not press: it may
	// have come of there being little to send, or the API may only stumble. It is
	// so for newsTime.
	firstCalm = 5 * time.Second
	newsTime  = 10 * time.Second
	// calmWaits is how many times as long as the wait after a refusal that did
	// not name it: trying for more must not cost more than it may bring.
	calmWaits = 40
	// settled is after how long without a refusal the base is believed to be
	// borne, and doubts for how many tries one that was not is remembered.
	settled = 30 * time.Second
	doubts  = 12
	// growth of the rate in a second, while trying for more.
	growth   = 16
	growStep = 200 * time.Millisecond
	// proof is how many windows of the base have to be accepted beyond it before
	// it is raised. A bucket may hold one.
	proof = 1.5
	// least is the lowest rate, one event a minute, and most is from where on
	// there is no limit.
	least = 1.0 / 60
	most  = 1e6
	// firstBurst is how many events may be in flight while nothing was accepted
	// yet, and firstGrowth how many more for each that was.
	firstBurst  = 16
	firstGrowth = 1.0 / 8
)

// accept notes that n events were accepted.
func (q *quota) accept(n int, now time.Time) {
	if n == 0 {
		return
	}
	if q.began.IsZero() {
		q.began = now
	}
	q.accepted += float64(n)
	q.proving.accepted += float64(n)
	if now.Before(q.stumbling) {
		q.tell(n, 0)
	}
	q.recent.add(n, now)
}

// advance brings the rate up to date.
func (q *quota) advance(now time.Time) {
	if q.base == 0 {
		return
	}
	if now.Before(q.calm) || now.Sub(q.pressed) > max(time.Second, 3*q.gap()) {
		// Without a press nothing is shown by what is accepted.
		q.rate, q.grown = q.base, time.Time{}
		return
	}
	if q.grown.IsZero() {
		q.grown = now
		q.prove(now)
		return
	}
	step := min(now.Sub(q.grown), max(growStep, q.gap()))
	q.grown = now
	q.rate = min(q.rate*math.Pow(growth, step.Seconds()), 2*q.base)
	over := q.proving.accepted - q.base*now.Sub(q.proving.since).Seconds()
	if over > proof*q.base*max(q.window, time.Second).Seconds() {
		q.base, q.rebased = q.rate, true
		q.prove(now)
	}
	if q.base > most {
		*q = quota{began: q.began, accepted: q.accepted, recent: q.recent}
	}
}

// gap is the time between two events at the rate.
func (q *quota) gap() time.Duration { return time.Duration(float64(time.Second) / q.rate) }

func (q *quota) prove(now time.Time) { q.proving.since, q.proving.accepted = now, 0 }

// refuse notes that the destination refused an event for its quota, and that
// nothing is sent for the wait that follows; named says that the destination
// named it.
func (q *quota) refuse(wait time.Duration, named bool, now time.Time) {
	first := q.base == 0
	switch {
	case first || q.wasCalm(now):
		q.restless, q.restlessFrom = 0, q.base
	case q.accepted > 0:
		q.restlessFrom = max(q.restlessFrom, q.base)
		if q.restless++; q.base < 1 {
			q.restless += 2 // each takes long then
		}
		if q.restless >= tooRestless && q.base < max(q.restlessFrom/8, 1) {
			q.stumble(now)
			return
		}
	}
	q.stumbling, q.lately = time.Time{}, tally{}
	switch {
	case q.accepted == 0:
		// It refuses everything for now. That says nothing of a rate, but of how
		// long it may do so.
		q.blocked += wait
		q.window = min(max(q.window, q.blocked), maxCalm)
		return
	case first:
		q.base = q.firstBase(wait, named, now)
	case !q.grown.IsZero():
		q.base = q.triedBase(wait, named, now)
	default:
		q.base = q.lowerBase(wait, named, now)
	}
	q.base = max(q.base, least)
	q.window = max(wait, q.window/2)
	q.began, q.accepted, q.blocked = now.Add(wait), 0, 0
	q.rate, q.grown, q.rebased = q.base, time.Time{}, false
	calm := calmTime
	if q.base < lowBase {
		calm = max(lowCalm, min(slowCalm, time.Duration(calmEvents/q.base*float64(time.Second))))
	}
	if !named {
		calm = max(calm, calmWaits*q.window)
	}
	if first || now.Sub(q.pressed) > max(newsTime, 3*q.gap()) {
		q.news = now.Add(newsTime)
	}
	if now.Before(q.news) {
		calm = firstCalm
	}
	q.calm = now.Add(wait + min(calm, maxCalm))
}

// firstBase is the base after the first refusal of all.
func (q *quota) firstBase(wait time.Duration, named bool, now time.Time) float64 {
	over := min(now.Sub(q.began), max(time.Second, wait))
	n := q.recent.since(now.Add(-over))
	if named {
		over += wait
	}
	return n / max(over, time.Second).Seconds()
}

// triedBase is the base after a try for more came to its end.
func (q *quota) triedBase(wait time.Duration, named bool, now time.Time) float64 {
	little := 1.003
	if q.bucket {
		little = 1.02 // what is waited for is not lost
	}
	q.slow, q.doubt = false, max(0, q.doubt-1)
	if precise(wait, named) {
		over := min(now.Sub(q.proving.since), meterTenths*time.Second/10)
		if q.rebased {
			over = min(over, 2*time.Second)
		}
		over += wait
		return max(little*q.base, 0.98*q.recent.since(now.Add(wait-over))/over.Seconds())
	}
	if q.doubt > 0 && !q.rebased {
		return little * q.base
	}
	return max(little*q.base, min(q.rate, 0.97*q.recent.since(now.Add(-time.Second))))
}

// lowerBase is the base after what was believed to be borne was refused.
func (q *quota) lowerBase(wait time.Duration, named bool, now time.Time) float64 {
	since := now.Sub(q.began)
	measured := q.accepted / (since + wait).Seconds()
	switch sending := since - q.blocked; {
	case sending > settled, sending > settled/3 && !precise(wait, named):
		q.slow = false
		return 0.985 * q.base
	case precise(wait, named):
		return min(0.97*q.base, 0.99*measured)
	case sending > 2200*time.Millisecond && !q.slow:
		// A little too much for a window, or a good deal for a bucket.
		q.slow, q.doubt = true, doubts
		return 0.98 * q.base
	case sending > 2200*time.Millisecond:
		q.doubt, q.bucket = doubts, true
		return min(0.98*q.base, 0.99*measured)
	case sending <= 1100*time.Millisecond:
		// A window of a second holds so many, and a bucket fewer. Where it is few,
		// one that comes a little early is one too many.
		q.doubt, q.bucket = doubts, false
		within := 0.975
		if q.accepted > 200 {
			within = 0.985
		}
		return min(0.985*q.base, within*q.accepted)
	}
	q.doubt = doubts
	return 0.96 * q.base
}

// precise says whether the wait is what is missing, and not only a round number.
func precise(wait time.Duration, named bool) bool { return named && wait > time.Second }

// meter counts events of the last seconds, by tenths of them.
type meter struct {
	tenths [meterTenths]float64
	last   int64 // the tenth that was counted last
}

const meterTenths = 640

func (m *meter) to(now time.Time) {
	tenth := now.UnixMilli() / 100
	for range min(tenth-m.last, meterTenths) {
		m.last++
		m.tenths[m.last%meterTenths] = 0
	}
	m.last = max(m.last, tenth)
}

func (m *meter) add(n int, now time.Time) {
	m.to(now)
	m.tenths[m.last%meterTenths] += float64(n)
}

// since is how many events there were from a time on, as far as it is kept.
func (m *meter) since(from time.Time) (n float64) {
	for t := m.last; t >= max(from.UnixMilli()/100, m.last-meterTenths+1, 0); t-- {
		n += m.tenths[t%meterTenths]
	}
	return n
}
