package consumer

import (
	"slices"
	"sync"
	"time"

	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
)

// RecentLetter describes a dead letter in /status: the position of its record
// and the reason. The record's content is only in the dead-letter topic: not
// everybody who can read the status may read it.
type RecentLetter struct {
	Time       time.Time    `json:"time"`
	Reason     event.Reason `json:"reason"`
	Partition  int32        `json:"partition"`
	Offset     int64        `json:"offset"`
	HTTPStatus int          `json:"http_status,omitzero"`
}

// keptLetters is the number of dead letters that are kept for the status.
const keptLetters = 20

// recent keeps the latest dead letters.
type recent struct {
	mu      sync.Mutex
	letters []RecentLetter // the latest last
}

// add adds dead letters. position returns the position of its record in the source topic.
func (r *recent) add(letters []partition.DeadLetter, position func(*partition.DeadLetter) (int32, int64)) {
	letters = letters[max(0, len(letters)-keptLetters):]
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now() // here, so that the times are in order
	if surplus := len(r.letters) + len(letters) - keptLetters; surplus > 0 {
		r.letters = slices.Delete(r.letters, 0, surplus)
	}
	for i := range letters {
		l := &letters[i]
		id, offset := position(l)
		r.letters = append(r.letters, RecentLetter{now, l.Fault.Reason, id, offset, l.HTTPStatus})
	}
}

// latest returns the dead letters, the latest first.
func (r *recent) latest() []RecentLetter {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.letters)
	slices.Reverse(all)
	return all
}
