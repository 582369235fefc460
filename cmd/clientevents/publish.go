package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/ndjson"
	"github.com/clientevents/clientevents/internal/progress"
	"github.com/clientevents/clientevents/internal/publish"
	"github.com/clientevents/clientevents/internal/terminal"
	"github.com/clientevents/clientevents/internal/validate"
)

func newPublishCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish --config FILE [FILE…]",
		Short: "Validate events and publish them to the source topic",
		Long: `Validate newline-delimited JSON and publish the valid lines to the source topic. The
key is the request ID, so that the events of a journey are in one partition. Invalid
lines are printed as 'validate' prints them and are not published; the exit code is
then 1.

If the configuration has an input section, a line is a record's value in that format:
the mapping is applied to validate it and to find its request ID, and the line is
published unchanged. A line for which the mapping returns no event is not published.
Formats other than json and cloudevents can't be published.`,
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
		if f := c.Input.Format; f != input.FormatJSON && f != input.FormatCloudEvents {
			return fmt.Errorf("input.format: %s: publish writes json and cloudevents only", f)
		}
		return publishFiles(cmd.Context(), s, c, files)
	}
	return cmd
}

func publishFiles(ctx context.Context, s Streams, c *config.Config, files []string) error {
	decode, err := lineDecoder(ctx, c)
	if err != nil {
		return err
	}
	k, err := connect.NewKafka(c, connect.Options{})
	if err != nil {
		return err
	}
	defer k.Close()
	p := &publisher{
		to:      publish.New(k, c.Kafka.Topic),
		decode:  decode,
		other:   ndjson.Elsewhere{},
		explain: func(err error) error { return check.Explain(ctx, k, c, err) },
		version: c.API.Version,
		out:     s.Out,
		shown:   progress.New(s.Err, "published"),
	}
	err = p.publish(ctx, inputs(ctx, s, files))
	p.shown.Close()
	if err != nil {
		return fmt.Errorf("%w (%d published before)", err, p.to.Written())
	}
	fmt.Fprintf(s.Err, "%d published to %s, %d invalid\n", p.published, c.Kafka.Topic, p.faults)
	if p.skipped > 0 {
		fmt.Fprintf(s.Err, "%d not published: the mapping returns no event for them\n", p.skipped)
	}
	printedHints(s, p.printed)
	if hint := p.other.String(); hint != "" {
		fmt.Fprintf(s.Err, "%s: is api.version (%s) correct?\n", hint, c.API.Version)
	}
	if p.faults > 0 {
		return &silentError{exitFailed}
	}
	return nil
}

type publisher struct {
	to      *publish.Publisher
	decode  func(ndjson.Line) ([]*event.Event, *event.Fault)
	explain func(error) error // an error of the brokers, in words
	version event.Version
	out     io.Writer
	shown   *progress.Counter
	// The counts are of lines; skipped ones have no event.
	published, skipped, faults int
	other                      ndjson.Elsewhere
	// printed are the sources with an invalid line that opens a value of several lines.
	printed []string
}

// publish publishes the valid lines of the sources.
func (p *publisher) publish(ctx context.Context, sources iter.Seq2[validate.Source, error]) (err error) {
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

// written explains an error of writing to the topic.
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
		events, fault := p.decode(line)
		if fault != nil {
			p.faults++
			p.other.Add(line, p.version)
			if line.Opens() && !slices.Contains(p.printed, in.Name) {
				p.printed = append(p.printed, in.Name)
			}
			fmt.Fprintf(p.out, "%s:%d: %s: %s\n", terminal.Printable(in.Name), line.Number, fault.Reason, terminal.Printable(fault.Detail))
			continue
		}
		if len(events) == 0 {
			p.skipped++
			continue
		}
		if err := p.to.Add(ctx, kafka.Message{Key: []byte(events[0].RequestID), Value: bytes.Clone(line.Data)}); err != nil {
			return p.written(err)
		}
		p.published++
		p.shown.Set(p.published)
	}
	return nil
}
