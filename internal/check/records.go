package check

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/internal/rehearse"
)

// sample is the number of records of the source topic that are rehearsed.
const sample = 1000

// records rehearses the last records of the source topic. It notes if many would become
// dead letters, or if they are not keyed by journey. It says nothing if they can't be
// read, which is another check's finding.
func (ch *check) records(ctx context.Context, k *connect.Kafka) {
	ctx, cancel := context.WithTimeout(ctx, ch.limits.each)
	defer cancel()
	r, err := rehearse.Run(ctx, k, ch.c, rehearse.Options{Last: sample, Dial: ch.o.DialAPI})
	if err != nil {
		return
	}
	ch.letters(r)
	if !ch.c.Input.Rekey && (r.WithoutKey > 0 || r.Spread > 0) {
		ch.note("keys of topic "+ch.c.Kafka.Topic, fmt.Sprintf("of the last %d records %d have no key, and %d of %d journeys are in several partitions: "+
			"their duplicates are not recognized and children don't find their parents", r.Records, r.WithoutKey, r.Spread, r.Journeys),
			"key the topic by request ID, or set input.rekey: true; see docs/delivery.md")
	}
}

// letters notes a share of dead letters that the status page calls a problem, too.
func (ch *check) letters(r *rehearse.Report) {
	var all int64
	var most string
	for _, reason := range slices.Sorted(maps.Keys(r.DeadLetters)) {
		n := r.DeadLetters[reason]
		if all += n; most == "" || n > r.DeadLetters[most] {
			most = reason
		}
	}
	if all < health.LeastLetters || float64(all) < health.BadShare*float64(r.Records) {
		return
	}
	ch.note("records of topic "+ch.c.Kafka.Topic, fmt.Sprintf("of the last %d records %d become dead letters, most (%d) for %s", r.Records, all, r.DeadLetters[most], most),
		"see examples with 'clientevents rehearse'; docs/dead-letters.md has the cause and the remedy of each reason")
}
