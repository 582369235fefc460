package consumer

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestOffsetSet compares a set of offsets with a slow and obvious one.
func TestOffsetSet(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var set offsetSet
		model := map[int64]bool{}
		for range 100 {
			switch offset := rng.Int64N(40); rng.IntN(20) {
			case 0:
				set.forget(offset)
				for o := range model {
					if o < offset {
						delete(model, o)
					}
				}
			case 1:
				set.forgetFrom(offset)
				for o := range model {
					if o >= offset {
						delete(model, o)
					}
				}
			default:
				span := offsetSpan{offset, offset + 1 + rng.Int64N(4)}
				set.add(span)
				for o := span.from; o < span.to; o++ {
					model[o] = true
				}
			}
			for o := range int64(45) {
				if set.has(o) != model[o] {
					t.Fatalf("seed %d: %d is in the set: %v, in the model: %v (%v)", seed, o, set.has(o), model[o], set)
				}
			}
			for i := 1; i < len(set); i++ {
				if set[i].from <= set[i-1].to {
					t.Fatalf("seed %d: spans are not apart: %v", seed, set)
				}
			}
			if got := parseDeadLettered(set.headers()); !slices.Equal(got, set) {
				t.Fatalf("seed %d: got %v, want %v", seed, got, set)
			}
		}
	}
}
