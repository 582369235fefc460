package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/internal/logging"
)

const (
	// patience is the time without progress after which the demo gives up.
	patience = 90 * time.Second
	// settleWithin is the time that a stopped demo waits for outcomes, longer
	// than events wait for their parents. The pipeline's own stop adds to it.
	settleWithin = parentsWait + 2*time.Second
)

// settle waits until every record in the topic has its outcome. A stopped
// demo does not wait longer than settleWithin.
func (d *demo) settle(failed <-chan error) error {
	d.api.SetFaults(emulator.Faults{Latency: latency})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	last, moved := uint64(0), began
	if d.cut.Load() && !logging.IsTerminal(d.o.Err) { // a terminal's display shows it
		fmt.Fprintf(d.o.Err, "Stopping: waiting for %s, at most %s.\n", d.unfinishedText(), settleWithin)
	}
	for {
		done := d.finished()
		if total, err := d.inTopic(); err == nil && done >= uint64(total) {
			return nil
		}
		if done != last {
			last, moved = done, time.Now()
		}
		switch {
		case d.cut.Load() && time.Since(began) > settleWithin:
			d.unsettled = true
			return nil
		case time.Since(moved) > patience:
			return fmt.Errorf("no progress for %s: %d of %d records have an outcome", patience, done, d.published.Load())
		}
		select {
		case err := <-failed:
			return err
		case <-tick.C:
		}
	}
}

// unfinished is the number of published records without an outcome.
func (d *demo) unfinished() int { return int(max(0, d.published.Load()-int64(d.finished()))) }

// unfinishedText describes them.
func (d *demo) unfinishedText() string {
	return "the outcomes of " + health.Events(d.unfinished())
}

// inTopic counts the records of the topic, including those of other producers.
func (d *demo) inTopic() (int64, error) {
	k, err := connect.NewKafka(d.config, connect.Options{})
	if err != nil {
		return 0, err
	}
	defer k.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ask := map[string][]kafka.OffsetRequest{}
	for p := range partitions {
		ask[topic] = append(ask[topic], kafka.LastOffsetOf(p))
	}
	answer, err := k.Client().ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: ask})
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, p := range answer.Topics[topic] {
		err = errors.Join(err, p.Error)
		total += p.LastOffset
	}
	return total, err
}

func (d *demo) outcomes() (outcomes, letters map[string]uint64) {
	p := d.pipeline.Load()
	if p == nil {
		return nil, nil
	}
	return p.Consumer().Counts()
}

func (d *demo) finished() uint64 {
	outcomes, _ := d.outcomes()
	sum := uint64(0)
	for _, n := range outcomes {
		sum += n
	}
	return sum
}
