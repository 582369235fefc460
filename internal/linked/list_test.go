package linked_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/clientevents/clientevents/internal/linked"
)

type element struct{ a, b linked.Links[element] }

func inA(e *element) *linked.Links[element] { return &e.a }
func inB(e *element) *linked.Links[element] { return &e.b }

// An element is in two lists, which are compared with slices, in both directions.
func TestListsAreSlices(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var a, b linked.List[element]
	var wantA, wantB []*element
	for range 2000 {
		if e := new(element); rng.IntN(len(wantA)+1) < 4 {
			a.Append(e, inA)
			wantA = append(wantA, e)
			b.Append(e, inB)
			wantB = append(wantB, e)
		} else {
			gone := wantA[rng.IntN(len(wantA))]
			a.Remove(gone, inA)
			wantA = slices.DeleteFunc(wantA, func(e *element) bool { return e == gone })
			if rng.IntN(2) == 0 {
				b.Remove(gone, inB)
				wantB = slices.DeleteFunc(wantB, func(e *element) bool { return e == gone })
			}
		}
		check(t, "a", a, inA, wantA)
		check(t, "b", b, inB, wantB)
	}
}

func check(t *testing.T, name string, l linked.List[element], links func(*element) *linked.Links[element], want []*element) {
	t.Helper()
	var forth, back []*element
	for e := l.First; e != nil && len(forth) <= len(want); e = links(e).Next {
		forth = append(forth, e)
	}
	for e := l.Last; e != nil && len(back) <= len(want); e = links(e).Prev {
		back = append(back, e)
	}
	slices.Reverse(back)
	if !slices.Equal(forth, want) || !slices.Equal(back, want) {
		t.Fatalf("list %s has %d elements, and %d backward: want %d", name, len(forth), len(back), len(want))
	}
}
