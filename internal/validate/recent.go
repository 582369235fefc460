package validate

import (
	"cmp"
	"hash/maphash"
	"slices"
)

// key stands for an event id: 128 bits of it, so that two ids never have the
// same, and so that an id of any length takes the same room.
type key [2]uint64

type hasher [2]maphash.Seed

func newHasher() hasher { return hasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h hasher) of(id string) key {
	return key{maphash.String(h[0], id), maphash.String(h[1], id)}
}

// recent is a map that forgets: it has at least the last half of limit of what
// was put in, and at most limit.
type recent[V any] struct {
	now, before map[key]V
	puts, half  int
	forgotten   func(map[key]V) // is told what is forgotten
}

func newRecent[V any](limit int, forgotten func(map[key]V)) *recent[V] {
	return &recent[V]{now: map[key]V{}, half: max(1, limit/2), forgotten: forgotten}
}

func (r *recent[V]) get(k key) (V, bool) {
	if value, ok := r.now[k]; ok {
		return value, true
	}
	value, ok := r.before[k]
	return value, ok
}

// newest is the map to put one more value into.
func (r *recent[V]) newest() map[key]V {
	if r.puts == r.half {
		r.forget()
	}
	r.puts++
	return r.now
}

// forget forgets the older half.
func (r *recent[V]) forget() {
	if len(r.before) > 0 {
		r.forgotten(r.before)
	}
	r.before, r.now, r.puts = r.now, map[key]V{}, 0
}

// inOrder lists children as they stand in the input.
func inOrder(children map[key][]child) []child {
	var all []child
	for _, siblings := range children {
		all = append(all, siblings...)
	}
	slices.SortFunc(all, func(a, b child) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.line, b.line))
	})
	return all
}
