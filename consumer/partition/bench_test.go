package partition

import (
	"strconv"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
)

// BenchmarkPartition takes records from their admission to their outcome, 500
// at a time, every fifth a child of the one before.
func BenchmarkPartition(b *testing.B) {
	const batch = 500
	p := New(Config{Rules: Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Minute, ByValue: true}})
	now := time.Unix(1_800_000_000, 0)
	var accepted []Accepted
	offset, finished := int64(0), 0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		records := make([]*Record, 0, batch)
		for i := range batch {
			r := &Record{Offset: offset}
			r.SetTimestamp(now)
			offset++
			e := &event.Event{ID: "event-" + strconv.FormatInt(offset, 10), RequestID: "r", Time: now, Type: event.Impression}
			if i%5 == 4 {
				e.Type, e.ParentID = event.View, records[i-1].first.ID
			}
			r.Add(e)
			records = append(records, r)
		}
		for _, d := range p.Admit(records, offset, now).Ready {
			effects, _ := p.Outcome(d, event.Outcome{}, now)
			for _, d := range effects.Ready {
				p.Outcome(d, event.Outcome{}, now)
			}
		}
		p.Tick(now, true)
		accepted = p.TakeAccepted(accepted)
		effects, _ := p.Recorded(accepted)
		for range effects.Finished() {
			finished++
		}
	}
	if p.Watermark() != offset || finished != int(offset) {
		b.Fatalf("watermark %d, %d records finished: want %d", p.Watermark(), finished, offset)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(offset), "ns/record")
}
