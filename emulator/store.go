package emulator

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"
)

// Accepted is an event that was accepted.
type Accepted struct {
	// Number counts accepted events from 1, on through a Reset. It is a cursor
	// for EventsAfter.
	Number int64 `json:"number"`
	// Time is when its HTTP request was taken up.
	Time time.Time `json:"time"`
	// Version of the API, such as "v4".
	Version string `json:"version"`
	// Parent is the project or tenant in the path.
	Parent string `json:"parent"`
	// Part is the number of its part in a batch, from 1; 0 for a request of
	// its own.
	Part int `json:"part,omitzero"`
	// Duplicate: its eventId was accepted before. The service does not
	// deduplicate, nor does the emulator.
	Duplicate bool `json:"duplicate"`
	// Warnings say why the service would discard the event later, though it
	// accepts it as the emulator does.
	Warnings []Warning `json:"warnings,omitempty"`
	// Event is what was understood.
	Event Event `json:"event"`
	// Raw is the ClientEvent's JSON as it was sent, without the wrapper. It
	// must not be changed.
	Raw []byte `json:"-"`
}

// Warning is one reason to discard an event.
type Warning struct {
	// Field of the ClientEvent: requestId or jobEvent.jobs.
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// Stats are counts since the start or the latest reset.
type Stats struct {
	// Accepted events, of which Duplicates had an eventId seen before.
	Accepted   int64 `json:"accepted"`
	Duplicates int64 `json:"duplicates"`
	// Warned are those with Warnings.
	Warned int64 `json:"warned"`
	// Refused calls, by the HTTP status they were answered with. A batch that
	// is refused as a whole counts once.
	Refused map[int]int64 `json:"refused"`
	// Requests are the HTTP requests, of which Batches went to /batch, with
	// Parts parts in all.
	Requests int64 `json:"requests"`
	Batches  int64 `json:"batches"`
	Parts    int64 `json:"parts"`
	// Faulted requests and parts: a [Fault] befell them.
	Faulted int64 `json:"faulted"`
	// ByType counts accepted events by version of the API, then by type.
	ByType map[string]map[string]int64 `json:"byType"`
}

// rememberedIDs is how many eventIds are known at least, for telling
// duplicates; it bounds the memory of an emulator that runs for long.
const rememberedIDs = 4 << 20

// store keeps what was accepted.
type store struct {
	keep    int
	keepAll bool
	ids     maphash.Seed
	// disk, if not nil, keeps what the store keeps.
	disk eventDisk

	mu sync.Mutex
	// events is a ring of the latest, of which next is the oldest; with
	// keepAll it only grows.
	events []Accepted
	next   int
	// seen and older hold hashes of eventIds: older are those from before
	// seen was full. At 64 bits two of a hundred million ids have the same
	// hash with a probability of 1 in 3,700.
	seen, older map[uint64]struct{}
	stats       Stats
	waiting     []waiter
	// number is that of the latest event, and more, if not nil, is closed when
	// there is another.
	number int64
	more   chan struct{}
}

// eventDisk keeps events under their numbers.
type eventDisk interface {
	PutEvent(number int64, event any)
	DropEvent(number int64)
}

type waiter struct {
	accepted int64
	done     chan struct{}
}

func newStore(keep int, keepAll bool) *store {
	s := &store{keep: keep, keepAll: keepAll, ids: maphash.MakeSeed()}
	s.reset()
	return s
}

func (s *store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disk != nil {
		for _, a := range s.events {
			s.disk.DropEvent(a.Number)
		}
	}
	s.events, s.next = nil, 0
	s.seen, s.older = map[uint64]struct{}{}, nil
	s.stats = Stats{Refused: map[int]int64{}, ByType: map[string]map[string]int64{}}
}

// accept keeps and counts a, and says whether it is a duplicate.
func (s *store) accept(a *Accepted) (duplicate bool) {
	id := maphash.String(s.ids, a.Event.EventID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	a.Number, a.Duplicate = s.number, s.remember(id)
	s.stats.Accepted++
	if a.Warnings != nil {
		s.stats.Warned++
	}
	if a.Duplicate {
		s.stats.Duplicates++
	}
	types := s.stats.ByType[a.Version]
	if types == nil {
		types = map[string]int64{}
		s.stats.ByType[a.Version] = types
	}
	types[a.Event.Type]++
	s.retain(a)
	s.wake()
	return a.Duplicate
}

// retain keeps a in place of the oldest, if the store is full.
func (s *store) retain(a *Accepted) {
	full := !s.keepAll && len(s.events) >= s.keep
	if full && s.keep == 0 {
		return
	}
	if s.disk != nil {
		s.disk.PutEvent(a.Number, a.kept())
		if full {
			s.disk.DropEvent(s.events[s.next].Number)
		}
	}
	if full {
		s.events[s.next] = *a
		s.next = (s.next + 1) % s.keep
		return
	}
	s.events = append(s.events, *a)
}

// restore takes an event that was accepted in an earlier run. It is not counted.
func (s *store) restore(a Accepted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number = a.Number
	s.remember(maphash.String(s.ids, a.Event.EventID))
	s.retain(&a)
}

func (s *store) remember(id uint64) (known bool) {
	if _, known = s.seen[id]; known {
		return true
	}
	_, known = s.older[id]
	if len(s.seen) >= rememberedIDs {
		s.seen, s.older = make(map[uint64]struct{}), s.seen
	}
	s.seen[id] = struct{}{}
	return known
}

// wake tells those who wait for as many accepted events as there are now.
func (s *store) wake() {
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
	if len(s.waiting) == 0 {
		return
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiter) bool {
		if s.stats.Accepted < w.accepted {
			return false
		}
		close(w.done)
		return true
	})
}

// await returns when n events are accepted.
func (s *store) await(ctx context.Context, n int64) error {
	w := waiter{n, make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.wake()
	s.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(other waiter) bool { return other.done == w.done })
	return ctx.Err()
}

// after are the kept events with a larger number, and the number of the latest.
func (s *store) after(number int64) ([]Accepted, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since(number), s.number
}

func (s *store) since(number int64) []Accepted {
	all := slices.Concat(s.events[s.next:], s.events[:s.next])
	i := slices.IndexFunc(all, func(a Accepted) bool { return a.Number > number })
	if i < 0 {
		return nil
	}
	return all[i:]
}

// awaitAfter is after, once there is an event with a larger number.
func (s *store) awaitAfter(ctx context.Context, number int64) ([]Accepted, int64, error) {
	for {
		s.mu.Lock()
		if s.number > number {
			defer s.mu.Unlock()
			return s.since(number), s.number, nil
		}
		if s.more == nil {
			s.more = make(chan struct{})
		}
		more := s.more
		s.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			_, latest := s.after(number)
			return nil, latest, ctx.Err()
		}
	}
}

func (s *store) countRequest() {
	s.mu.Lock()
	s.stats.Requests++
	s.mu.Unlock()
}

func (s *store) countBatch(parts int) {
	s.mu.Lock()
	s.stats.Batches++
	s.stats.Parts += int64(parts)
	s.mu.Unlock()
}

func (s *store) countRefusal(status int) {
	s.mu.Lock()
	s.stats.Refused[status]++
	s.mu.Unlock()
}

func (s *store) countFault() {
	s.mu.Lock()
	s.stats.Faulted++
	s.mu.Unlock()
}

// accepted are the kept events, the oldest first.
func (s *store) accepted() []Accepted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.events[s.next:], s.events[:s.next])
}

func (s *store) counts() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Refused = maps.Clone(st.Refused)
	st.ByType = make(map[string]map[string]int64, len(s.stats.ByType))
	for version, types := range s.stats.ByType {
		st.ByType[version] = maps.Clone(types)
	}
	return st
}
