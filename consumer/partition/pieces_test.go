package partition

import (
	"math/rand/v2"
	"testing"
	"time"
)

// rememberSome adds numbered events that were reported in the course of two windows before
// now, each seventh of which was created too long ago for a slot.
func rememberSome(p *Partition, from, to uint64, now time.Time, window time.Duration) {
	for n := from; n < to; n++ {
		e := viewed(now.Add(-time.Duration(n%1000) * 2 * window / 1000))
		e.Content = n
		if n%7 == 0 {
			e.Created = e.Created.AddDate(-30, 0, 0)
		}
		p.Remember([]Known{{numbered(n), e}})
	}
}

// TestPieces: a walk over what a partition remembers returns each event of the window as
// the index has it, wherever it is interrupted, and though events come meanwhile.
func TestPieces(t *testing.T) {
	const n, window = 20_000, time.Hour
	p := New(Config{Rules: Rules{Window: window}})
	rememberSome(p, 0, n, noon, window)
	p.Tick(noon, true)
	missing := map[Key]Entry{}
	for i := range uint64(n) {
		if e, ok := p.index.get(numbered(i), noon); ok {
			missing[numbered(i)] = e
		}
	}
	if len(missing) < n/3 || len(missing) > n*2/3 {
		t.Fatalf("%d events are in the window: want about half of %d", len(missing), n)
	}
	copied := NewIndex(window)
	var place Place
	random := rand.New(rand.NewPCG(1, 1))
	for added, more := uint64(n), true; more; {
		more = false
		for piece, next := range p.Pieces(place) {
			if len(piece) > pieceEnough+segmentMost {
				t.Fatalf("a piece has %d events: want %d at most", len(piece), pieceEnough+segmentMost)
			}
			copied.putAll(piece)
			for _, known := range piece {
				if e := known.Entry; e.Reported.After(noon) || !noon.Before(e.Reported.Add(window+2*window/stepsPerWindow)) {
					t.Fatalf("an event was reported at %v: it is not in the window before %v", e.Reported, noon)
				}
			}
			rememberSome(p, added, added+500, noon, window) // tables grow
			added += 500
			if place = next; random.IntN(2) == 0 {
				more = true
				break
			}
		}
	}
	for k, want := range missing {
		if got, ok := copied.get(k, noon); !ok || got != want {
			t.Fatalf("an event is %+v (known: %t), want %+v", got, ok, want)
		}
	}
}

// TestPiecesOfARevokedPartition: the index of a revoked partition belongs to the next one.
func TestPiecesOfARevokedPartition(t *testing.T) {
	const n, window = 100_000, time.Hour
	p := New(Config{Rules: Rules{Window: window}})
	rememberSome(p, 0, n, noon, window)
	p.Tick(noon, true)
	pieces := 0
	for range p.Pieces(Place{}) {
		pieces++
		p.Revoke()
	}
	for range p.Pieces(Place{}) {
		pieces++
	}
	if pieces != 1 {
		t.Errorf("%d pieces: want none after the partition was revoked", pieces)
	}
}
