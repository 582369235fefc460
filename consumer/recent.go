package consumer

import (
	"slices"
	"sync"
	"time"

	"github.com/clientevents/clientevents/event"
)

// RecentLetter is what /status says of a dead letter: where its record is and
// why it was given up. What the record holds is not for everybody who can read
// the status; that is what the dead-letter topic is for.
type RecentLetter struct {
	Time       time.Time    `json:"time"`
	Reason     event.Reason `json:"reason"`
	Partition  int32        `json:"partition"`
	Offset     int64        `json:"offset"`
	HTTPStatus int          `json:"http_status,omitzero"`
}

// keptLetters is how many dead letters are remembered for the status.
const keptLetters = 20

// recent remembers the latest dead letters.
type recent struct {
	mu      sync.Mutex
	letters []RecentLetter // the latest last
}

func (r *recent) add(partition int32, letters []letter) {
	letters = letters[max(0, len(letters)-keptLetters):]
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now() // here, so that the times are in order
	if surplus := len(r.letters) + len(letters) - keptLetters; surplus > 0 {
		r.letters = slices.Delete(r.letters, 0, surplus)
	}
	for _, l := range letters {
		r.letters = append(r.letters, RecentLetter{now, l.fault.Reason, partition, l.item.record.Offset, l.status})
	}
}

// latest lists them, the latest first.
func (r *recent) latest() []RecentLetter {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.letters)
	slices.Reverse(all)
	return all
}
