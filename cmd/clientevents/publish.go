package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/ndjson"
	"github.com/clientevents/clientevents/internal/progress"
	"github.com/clientevents/clientevents/internal/validate"
)

func newPublishCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish --config FILE [FILE…]",
		Short: "Check events and publish them to the source topic",
		Long: `Check newline-delimited JSON events and publish those that are in order to the
source topic, keyed by their request id, so that the events of one journey are
in one partition. Faults are shown as 'validate' shows them, and the exit code
is then 1; the other events are published nevertheless.`,
		Example: `  clientevents publish --config clientevents.yaml events.ndjson
  clientevents generate --events 1000 | clientevents publish --config clientevents.yaml`,
		Args: cobra.ArbitraryArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		k, err := app.NewKafka(c, nil)
		if err != nil {
			return err
		}
		defer k.Close()
		p := &publisher{
			to:      app.NewPublisher(k, c.Kafka.Topic),
			other:   ndjson.Elsewhere{},
			explain: func(err error) error { return app.ExplainKafka(cmd.Context(), k, c, err) },
			version: c.API.Version,
			out:     s.Out,
			shown:   progress.New(s.Err, "published"),
		}
		err = p.publish(cmd.Context(), inputs(cmd.Context(), s, files))
		p.shown.Close()
		if err != nil {
			return fmt.Errorf("%w (%d events were published before)", err, p.to.Written())
		}
		fmt.Fprintf(s.Err, "%d events published to %s, %d at fault\n", p.published, c.Kafka.Topic, p.faults)
		if hint := p.other.String(); hint != "" {
			fmt.Fprintf(s.Err, "%s: is api.version (%s) right?\n", hint, c.API.Version)
		}
		if p.faults > 0 {
			return &silentError{exitFailed}
		}
		return nil
	}
	return cmd
}

type publisher struct {
	to        *app.Publisher
	explain   func(error) error // an error of the brokers, in words
	version   event.Version
	out       io.Writer
	shown     *progress.Counter
	published int
	faults    int
	other     ndjson.Elsewhere
}

// publish publishes what the sources hold, as far as it is in order.
func (p *publisher) publish(ctx context.Context, sources iter.Seq2[validate.Source, error]) (err error) {
	defer func() { err = errors.Join(err, p.to.Close()) }()
	for source, err := range sources {
		if err == nil {
			err = p.source(ctx, source)
		}
		if err != nil {
			return err
		}
	}
	return p.written(p.to.Flush(ctx))
}

// written is what came of writing to the topic.
func (p *publisher) written(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("publish to topic %s: %w", p.to.Topic(), p.explain(err))
}

func (p *publisher) source(ctx context.Context, in validate.Source) error {
	for line, err := range ndjson.Lines(in) {
		if err != nil {
			return fmt.Errorf("read %s, line %d: %w", in.Name, line.Number, err)
		}
		e, fault := line.Decode(p.version)
		if fault != nil {
			p.faults++
			p.other.Add(line, p.version)
			fmt.Fprintf(p.out, "%s:%d: %s: %s\n", in.Name, line.Number, fault.Reason, fault.Detail)
			continue
		}
		if err := p.to.Add(ctx, kafka.Message{Key: []byte(e.RequestID), Value: bytes.Clone(line.Data)}); err != nil {
			return p.written(err)
		}
		p.published++
		p.shown.Set(p.published)
	}
	return nil
}
