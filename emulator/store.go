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
	// Number counts accepted events from 1, and continues after a Reset. It is a
	// cursor for EventsAfter.
	Number int64 `json:"number"`
	// Time is the beginning of its HTTP request's handling.
	Time time.Time `json:"time"`
	// Version of the API, such as "v4".
	Version string `json:"version"`
	// Parent is the project or tenant in the path.
	Parent string `json:"parent"`
	// Part is the number of its part in a batch, from 1; 0 for a request of
	// its own.
	Part int `json:"part,omitzero"`
	// Duplicate reports whether its eventId was accepted before. Neither the
	// service nor the emulator deduplicates.
	Duplicate bool `json:"duplicate"`
	// Warnings are the reasons for which the service would accept the event and
	// discard it later.
	Warnings []Warning `json:"warnings,omitempty"`
	// Event is the decoded event.
	Event Event `json:"event"`
	// Raw is the ClientEvent's JSON as it was sent, without the wrapper. It
	// must not be changed.
	Raw []byte `json:"-"`
}

// Warning is one reason to discard an event.
type Warning struct {
	Rule DiscardRule `json:"rule"`
	// Field of the ClientEvent: requestId or jobEvent.jobs.
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// DiscardRule is a rule by which the service discards an event later.
type DiscardRule string

// The rules of Google's documents: "Events without a valid request ID are
// discarded", and events about jobs that do not exist have no effect.
const (
	MissingRequestID DiscardRule = "missing_request_id"
	UnknownRequestID DiscardRule = "unknown_request_id"
	UnknownJob       DiscardRule = "unknown_job"
)

// Stats are counts since the start or the latest reset.
type Stats struct {
	// Accepted events, of which Duplicates had an eventId seen before.
	Accepted   int64 `json:"accepted"`
	Duplicates int64 `json:"duplicates"`
	// Warned are those with Warnings.
	Warned int64 `json:"warned"`
	// Refused counts refused calls by HTTP status. A batch that is refused as a
	// whole counts once.
	Refused map[int]int64 `json:"refused"`
	// Requests counts HTTP requests, Batches those to /batch, Parts the parts of
	// the batches.
	Requests int64 `json:"requests"`
	Batches  int64 `json:"batches"`
	Parts    int64 `json:"parts"`
	// Faulted counts requests and parts with a [Fault].
	Faulted int64 `json:"faulted"`
	// ByType counts accepted events by version of the API, then by type.
	ByType map[string]map[string]int64 `json:"byType"`
}

// rememberedIDs is the least number of eventIds that are remembered to recognize
// duplicates. Twice as many, at 20 to 40 bytes each, bound their memory.
const rememberedIDs = 1 << 20

// store keeps the latest accepted events, at most keep and with at most bytes in
// total, or all with keepAll.
type store struct {
	keep    int
	bytes   int64
	keepAll bool
	ids     maphash.Seed
	// disk, if not nil, keeps the same events.
	disk eventDisk

	mu sync.Mutex
	// events are those kept, the oldest first; held is their size.
	events []Accepted
	held   int64
	// seen and older hold hashes of eventIds; a full seen becomes older. Two of a
	// hundred million IDs have the same 64 bits with a probability of 1 in 3,700.
	seen, older map[uint64]struct{}
	stats       Stats
	discarded   map[DiscardRule]int64 // events
	// number is that of the latest event.
	number int64
	// more is closed at the next event; nil if no request waits for it.
	more chan struct{}
}

// eventDisk keeps events under their numbers.
type eventDisk interface {
	PutEvent(number int64, event any)
	DropEvent(number int64)
}

func newStore(keep int, bytes int64, keepAll bool) *store {
	s := &store{keep: keep, bytes: bytes, keepAll: keepAll, ids: maphash.MakeSeed()}
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
	s.events, s.held = nil, 0
	s.seen, s.older = map[uint64]struct{}{}, nil
	s.discarded = map[DiscardRule]int64{MissingRequestID: 0, UnknownRequestID: 0, UnknownJob: 0}
	s.stats = Stats{Refused: map[int]int64{}, ByType: map[string]map[string]int64{}}
}

// accept counts and keeps a, and reports whether it is a duplicate.
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
	for i, w := range a.Warnings {
		if i == 0 || w.Rule != a.Warnings[i-1].Rule { // warnings of one rule follow each other
			s.discarded[w.Rule]++
		}
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
	s.retain(*a)
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
	return a.Duplicate
}

// retain keeps a, and evicts the oldest events beyond the limits.
func (s *store) retain(a Accepted) {
	size := a.size()
	if !s.keepAll && (s.keep == 0 || size > s.bytes) {
		return
	}
	if s.disk != nil {
		s.disk.PutEvent(a.Number, a.kept())
	}
	s.events = append(s.events, a)
	s.held += size
	for !s.keepAll && (len(s.events) > s.keep || s.held > s.bytes) {
		s.held -= s.events[0].size()
		if s.disk != nil {
			s.disk.DropEvent(s.events[0].Number)
		}
		s.events[0] = Accepted{}
		s.events = s.events[1:]
	}
}

// size estimates the memory of a kept event in bytes: its JSON, the same decoded,
// and the structures around both.
func (a *Accepted) size() int64 { return 2*int64(len(a.Raw)) + 1024 }

// restore takes an event that was accepted in an earlier run. It is not counted.
func (s *store) restore(a Accepted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number = a.Number
	s.remember(maphash.String(s.ids, a.Event.EventID))
	s.retain(a)
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

// await waits until n events are accepted.
func (s *store) await(ctx context.Context, n int64) error {
	_, err := s.until(ctx, func() bool { return s.stats.Accepted >= n })
	return err
}

// until waits until done returns true, or the context is done, and returns the
// number of the latest event. It calls done with the lock held.
func (s *store) until(ctx context.Context, done func() bool) (latest int64, err error) {
	for {
		s.mu.Lock()
		if latest = s.number; done() {
			s.mu.Unlock()
			return latest, nil
		}
		if s.more == nil {
			s.more = make(chan struct{})
		}
		more := s.more
		s.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return latest, ctx.Err()
		}
	}
}

// after returns the kept events with a larger number that match, and the number of
// the latest event. A nil match is every event.
func (s *store) after(number int64, match func(*Accepted) bool) ([]Accepted, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since(number, match), s.number
}

func (s *store) since(number int64, match func(*Accepted) bool) []Accepted {
	i := slices.IndexFunc(s.events, func(a Accepted) bool { return a.Number > number })
	if i < 0 {
		return nil
	}
	if match == nil {
		return slices.Clone(s.events[i:])
	}
	var some []Accepted
	for _, a := range s.events[i:] {
		if match(&a) {
			some = append(some, a)
		}
	}
	return some
}

// awaitAfter waits until count events match, then returns after.
func (s *store) awaitAfter(ctx context.Context, number int64, match func(*Accepted) bool, count int) ([]Accepted, int64, error) {
	var some []Accepted
	latest, err := s.until(ctx, func() bool {
		some = s.since(number, match)
		return len(some) >= count
	})
	return some, latest, err
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

// accepted returns the kept events, the oldest first.
func (s *store) accepted() []Accepted {
	some, _ := s.after(0, nil)
	return some
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

// discards returns the events that the service would discard, by rule.
func (s *store) discards() map[DiscardRule]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.discarded)
}
