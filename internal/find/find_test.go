package find

import (
	"maps"
	"testing"
)

// TestHomes: with input.rekey, the state topic is read in the partitions of the request
// IDs, and as a whole if one is not known.
func TestHomes(t *testing.T) {
	const n = 12
	of := func(requests ...string) partitions {
		s := &search{events: map[string]*Event{}}
		for i, r := range requests {
			id := string(rune('a' + i))
			s.events[id] = &Event{EventID: id, RequestID: r}
		}
		return s.homes(n)
	}
	home := partitionOf([]byte("r-1"), n)
	if got := of("r-1", "r-1"); !maps.Equal(got, partitions{home: true}) {
		t.Errorf("the partitions of r-1 are %v, expected %d", got, home)
	}
	if got := of("r-1", "r-2", "r-3"); len(got) < 2 || !got[home] {
		t.Errorf("the partitions of three requests are %v", got)
	}
	if got := of("r-1", ""); got != nil {
		t.Errorf("of an event without a known request, the partitions are %v", got)
	}
	if got := of(); got == nil || len(got) != 0 {
		t.Errorf("of no event, the partitions are %v", got)
	}
}
