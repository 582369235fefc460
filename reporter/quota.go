package reporter

import (
	"math"
	"time"
)

// quota learns from refusals (429) how many events a second the destination
// accepts.
//
// Nothing is known until the first refusal. From then on there is a base, the rate
// at which the destination last refused an event, as far as that could be measured.
// The rate follows a curve around it, as CUBIC does around the window at which a
// packet was lost (RFC 9438): after a refusal it is a little lower, returns to the
// base, stays there for a while, and then grows, slowly at first and faster the longer
// nothing is refused. So most of the time is spent near the base, where a refusal
// costs little, and a quota that was raised is found soon.
//
// What the destination counts is not documented (Google's quotas are by the minute).
// Two facts hold for buckets of tokens and for windows alike. Between two refusals at
// most the quota is accepted: the events accepted, over all of that time, are a lower
// bound. When the destination stored nothing while it was not asked, the quota is that
// number over the time of sending alone: an upper bound. The next base is between
// the two.
//
// A short throttle refuses events at any rate. Growth after it is not refused, and
// what was accepted beyond the base proves that the base is too low; so the next growth
// begins sooner. Growth that was refused makes the next one begin later.
//
// It is not safe for concurrent use.
type quota struct {
	base float64 // events a second; 0 while nothing is known
	rate float64 // allowed now

	refused  time.Time     // the last refusal, or the first event
	resumed  time.Time     // when sending began after it
	blocked  time.Duration // between them
	accepted float64       // since the refusal
	sent     float64       // of them, since sending began
	window   time.Duration // the longest time blocked lately
	cycle    time.Duration // from a refusal to the next, with a quota by the day
	exact    bool          // the destination told or showed how long it refuses
	sudden   bool          // the refusal came soon after sending began

	// before is the time of sending before the refusal.
	before struct {
		resumed time.Time
		sent    float64
	}

	// day is the time since the last long block.
	day struct {
		since time.Time
		sent  float64
	}

	proven  float64   // the highest rate lately at which nothing was refused for a while
	limit   float64   // the rate at which an event was last refused
	falls   int       // refusals in a row without such a while
	pressed time.Time // when the rate last made events wait
	failed  int       // attempts to grow in a row that were refused
	growing struct {
		since    time.Time     // zero while the rate does not grow
		at       time.Time     // it was brought up to date
		lasted   time.Duration // of that time, while events waited for the rate
		accepted float64       // since then
		from     float64       // the rate at its beginning
	}

	fleet  float64 // how many replicas share the quota, about
	usual  int     // the most events in flight since the refusal, while the rate did not grow
	recent meter

	earned float64 // how many refusals growth may cost, see pay

	noise noise
}

const (
	// decrease is the part of the base by which the rate is lower after a refusal.
	decrease = 0.03
	// shortCalm is the time from a refusal to growth; it doubles with each growth that
	// was refused, up to longCalm.
	shortCalm, longCalm = 5 * time.Second, 45 * time.Second
	// Refusals may be budgetShare of what is accepted: what is earned or owed is bounded.
	budgetShare          = 0.007
	mostEarned, mostDebt = 5, 2
	// Growth is tried after longestCalm all the same.
	longestCalm = 100 * time.Second
	// After a block of more than longBlocked, as by a quota by the day, growth begins
	// after dayCalm of the time from one refusal to the next.
	longBlocked = 5 * time.Minute
	dayCalm     = 1.02
	// After t in growth the rate is exp(growth · (t / growthTime)²) times the base: a
	// tenth more after 4 s, ten times after 20 s.
	growthTime = 5 * time.Second
	growth     = 0.15
	// proof is how many seconds of the base have to be accepted beyond it before it is
	// raised, or proofWindows times the longest block, whichever is more.
	proof        = 3.0
	proofWindows = 1.2
	// Two refusals in a row within sudden of sending tell that the base is far too high; one
	// within early, that it is too high. A rate without a refusal for calmTime is proven.
	sudden, early = 2 * time.Second, 10 * time.Second
	calmTime      = 20 * time.Second
	// Growth that was refused more than farMore above the base is believed in to a large
	// part: what the destination had stored is the smaller part of it.
	farMore, farBelief = 0.25, 0.85
	// After a block of more than longWait, what came before it is measured with it.
	longWait = 5 * time.Second
	// exactWait is the longest wait that may be only a round number.
	exactWait = 2 * time.Second
	// least is the lowest rate, one event a minute; from most on there is no limit.
	least = 1.0 / 60
	most  = 1e6
	// firstBurst is how many events may be in flight before one was accepted, and
	// firstGrowth how many more for each accepted one.
	firstBurst  = 16
	firstGrowth = 1.0 / 8
	// While the rate grows, the events in flight may all be refused: they are at most
	// growthRoom more than before, and growthShare of those accepted since the last
	// refusal, and half of those accepted beyond the base.
	growthRoom, growthShare, growthProof = 2, 1.0 / 100, 1.0 / 2
)

// accept notes that n events were accepted.
func (q *quota) accept(n int, now time.Time) {
	if n == 0 {
		return
	}
	if q.refused.IsZero() {
		q.refused, q.resumed, q.day.since = now, now, now
	}
	q.accepted += float64(n)
	if !now.Before(q.resumed) {
		if q.sent == 0 && q.base > 0 {
			q.reopened(now)
		}
		q.sent += float64(n)
		q.day.sent += float64(n)
	}
	q.growing.accepted += float64(n)
	q.recent.add(n, now)
}

// reopened measures again when the destination accepts after it refused everything: a
// window has accepted its quota from its beginning to the next one's.
func (q *quota) reopened(now time.Time) {
	if q.blocked > longBlocked {
		lasted := now.Sub(q.day.since)
		q.base = max(least, q.day.sent/lasted.Seconds())
		days := 1.0
		if q.cycle > 0 { // the end of some may have gone by without a block
			days = max(1, math.Round(lasted.Seconds()/q.cycle.Seconds()))
		}
		q.cycle = time.Duration(float64(lasted) / days)
		q.day.since, q.day.sent = now, 0
		q.refused, q.resumed, q.accepted, q.exact = now, now, 0, false
		return
	}
	whole := q.before.sent / max(now.Sub(q.before.resumed), time.Second).Seconds()
	if q.blocked > longWait {
		q.base = max(q.base, whole)
	}
}

// calm returns the time from a refusal to growth. Replicas that share a quota grow in
// turn, on average, since growth of one is refused to all.
func (q *quota) calm() time.Duration {
	calm := min(shortCalm<<min(q.failed, 10), longCalm)
	if q.failed > 0 {
		calm = time.Duration(float64(calm) * max(1, q.fleet))
	}
	return max(calm, time.Duration(dayCalm*float64(q.cycle)))
}

// owes reports whether growth that was refused has cost more than was earned since. Far
// below the rate that was refused, growth is not expected to cost anything.
func (q *quota) owes(now time.Time) bool {
	return q.failed > 0 && q.earned < 1 && q.base > 0.75*q.limit && now.Sub(q.resumed).Seconds() < longestCalm.Seconds()*max(1, q.fleet)
}

// pay accounts for what refusals cost: growth waits until it is earned.
func (q *quota) pay(accepted, refused float64) {
	q.earned += accepted*budgetShare + (accepted+refused)*q.noise.share - refused
	q.earned = max(-mostDebt, min(q.earned, mostEarned))
}

// slower is by how much growth is slower than usual: with a quota by the day, there is
// one measurement a day.
func (q *quota) slower() float64 { return max(1, q.cycle.Seconds()/60) }

// advance brings the rate up to date. It reports whether it begins to grow.
func (q *quota) advance(now time.Time) (begins bool) {
	if q.base == 0 {
		return false
	}
	q.noise.trying = q.noise.trying && !q.noise.tried(now)
	if q.noise.trying {
		q.rate, q.growing.since = q.base, time.Time{}
		return false
	}
	calm, sending := q.calm(), now.Sub(q.resumed)
	if q.cycle > 0 {
		sending = now.Sub(q.day.since)
	}
	if sending < calm {
		part := 1 - max(0, sending.Seconds()/calm.Seconds())
		q.rate = q.base * (1 - decrease*part*part*part)
		q.growing.since = time.Time{}
		return false
	}
	idle := q.idle(now)
	switch {
	case q.growing.since.IsZero() && (idle || q.owes(now)), now.Sub(q.pressed) > time.Minute:
		// While no event waits for the rate, acceptances prove nothing.
		q.rate, q.growing.since = q.base, time.Time{}
		return false
	case q.growing.since.IsZero():
		q.growing.since, q.growing.accepted, q.growing.from, q.growing.lasted = now, 0, q.base, 0
		begins = true
		q.noise.period, q.noise.began = tally{}, now
	case !idle:
		q.growing.lasted += now.Sub(q.growing.at)
	}
	q.growing.at = now
	x := q.growing.lasted.Seconds() / growthTime.Seconds() / q.slower()
	q.rate = min(q.growing.from*math.Exp(growth*x*x), 2*q.rate)
	q.raise(now)
	if q.base > most {
		*q = quota{refused: q.refused, resumed: q.resumed, accepted: q.accepted, day: q.day, fleet: q.fleet, recent: q.recent, noise: q.noise}
	}
	return begins
}

// room returns how many events may be in flight.
func (q *quota) room() int {
	if q.growing.since.IsZero() {
		return math.MaxInt / 2
	}
	beyond := max(0, q.growing.accepted-q.base*q.growing.at.Sub(q.growing.since).Seconds())
	return int(growthRoom + 1.1*float64(q.usual) + q.accepted*growthShare + beyond*growthProof)
}

// inFlight notes how many events are in flight.
func (q *quota) inFlight(n int) {
	if q.growing.since.IsZero() {
		q.usual = max(q.usual, n)
	}
}

// gap is the time between two events at the rate.
func (q *quota) gap() time.Duration { return time.Duration(float64(time.Second) / q.rate) }

// refuse notes that the destination refused an event for its quota, and that
// no event is sent for the wait that follows; named is true where the destination
// named it.
func (q *quota) refuse(wait time.Duration, named bool, now time.Time) {
	first := q.base == 0
	if q.sent == 0 {
		// It refuses every event for now, which tells no rate but how long it may do
		// so.
		q.blocked += wait
		q.exact = true
		q.window = max(q.window, q.blocked)
		q.resumed = now.Add(wait)
		q.noise.suspectProbe(q)
		return
	}
	q.prove(now)
	q.fail(now)
	if q.noise.suspect(q, first) {
		return
	}
	q.base = max(least, q.measure(first, wait, named, now))
	if first || q.falls == 5 {
		q.failed = 0
	}
	q.growing.since = time.Time{}
	if q.window <= longBlocked {
		q.cycle = 0
	}
	q.sudden = now.Sub(q.resumed) < sudden
	q.before.resumed, q.before.sent = q.resumed, q.sent
	q.refused, q.resumed, q.blocked, q.accepted, q.sent, q.usual = now, now.Add(wait), wait, 0, 0, 0
	q.window, q.exact = max(wait, q.window/2), named && wait > exactWait
	q.rate = q.base * (1 - decrease)
	q.noise.began = q.resumed
}

// measure returns the next base. A destination that stores nothing for long and tells
// when it accepts again has accepted exactly its quota between two refusals. Otherwise
// that is the least that the quota can be.
func (q *quota) measure(first bool, wait time.Duration, named bool, now time.Time) float64 {
	if first {
		over := min(now.Sub(q.resumed), max(time.Second, wait))
		n := q.recent.since(now.Add(-over))
		if named {
			over += wait
		}
		return n / max(over, time.Second).Seconds()
	}
	sending := now.Sub(q.resumed)
	low := q.accepted / max(now.Sub(q.refused), time.Millisecond).Seconds()
	r := q.reached(now)
	switch {
	case q.exact:
		return low
	case !q.growing.since.IsZero():
		span := min(now.Sub(q.growing.since), 2*time.Second)
		seen := q.recent.since(now.Add(-span)) / max(span, time.Second/10).Seconds()
		more := min(seen, q.rate)/q.base - 1
		if more > farMore {
			return max(low, q.base*(1+farBelief*more))
		}
		return max(low, q.base*max(1.003, 1+more/2-0.01))
	case sending < sudden && q.sudden:
		r /= 4
	case sending < early:
		r *= 1 - 2*decrease
	case q.cycle == 0: // or else it is not the day's end
		r *= 1 - decrease
	}
	return max(low, r, q.floor()*q.proven)
}

// fail counts the growth that was refused. Refusals at rates that differ are no sign of
// one quota, and neither is one at the rate that the last block was the measure of.
func (q *quota) fail(now time.Time) {
	r := q.reached(now)
	growing := !q.growing.since.IsZero()
	switch {
	case r < 0.75*q.limit || r > q.limit/0.75, growing && q.idle(now):
		q.failed = 0
	case !growing && q.exact && now.Sub(q.resumed) > sudden:
		q.exact, q.failed = false, 0
	case growing:
		q.failed++
	default:
		q.failed = max(q.failed, 1)
	}
	q.limit = r
}

// raise raises the base when so much was accepted beyond it that it is too low.
func (q *quota) raise(now time.Time) {
	past := now.Sub(q.growing.since).Seconds()
	if q.growing.accepted <= q.base*(past+max(proof, proofWindows*q.window.Seconds())) {
		return
	}
	q.base = max(q.base, min(q.rate, 1.5*q.growing.accepted/past))
	q.proven, q.failed, q.falls = q.base, 0, 0
	q.growing.since, q.growing.accepted, q.growing.from = now, 0, q.base
	q.growing.lasted = min(q.growing.lasted, growthTime)
}

// scale counts in another unit.
func (q *quota) scale(by float64) {
	for _, x := range []*float64{&q.base, &q.rate, &q.accepted, &q.sent, &q.proven, &q.limit, &q.growing.accepted, &q.growing.from, &q.before.sent, &q.day.sent, &q.noise.from} {
		*x *= by
	}
	for i := range q.recent.tenths {
		q.recent.tenths[i] *= by
	}
}

// idle reports whether no event waits for the rate.
func (q *quota) idle(now time.Time) bool {
	return now.Sub(q.pressed) > max(time.Second, 3*q.gap())
}

// reached returns the rate at which an event was refused.
func (q *quota) reached(now time.Time) float64 {
	return min(q.rate, q.accepted/max(now.Sub(q.resumed), time.Millisecond).Seconds())
}

// prove notes for how long nothing was refused.
func (q *quota) prove(now time.Time) {
	if now.Sub(q.resumed) < calmTime {
		q.falls++
		return
	}
	q.falls, q.proven = 0, q.base
}

// floor returns the part of the proven rate that is believed in after so many
// refusals in a row.
func (q *quota) floor() float64 {
	return [...]float64{1 - decrease, 0.94, 0.85, 0.7, 0.5, 0}[min(q.falls, 5)]
}

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

// since returns the number of events from a time on, as far as they are kept.
func (m *meter) since(from time.Time) (n float64) {
	for t := m.last; t >= max(from.UnixMilli()/100, m.last-meterTenths+1, 0); t-- {
		n += m.tenths[t%meterTenths]
	}
	return n
}
