package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/ndjson"
	"github.com/clientevents/clientevents/internal/terminal"
	"github.com/clientevents/clientevents/internal/validate"
)

func newValidateCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate [FILE…]",
		Short: "Validate newline-delimited JSON events",
		Long: `Validate events, one JSON object per line, in files or on standard input ("-"). Each invalid
event is one line on standard output: FILE:LINE: reason: detail. The reasons are those of
dead letters. An ID with two different contents and a parent that can't lead to its child
are also invalid; with --complete, so is a parent that is missing from the input.
Exit code 1 if an event is invalid, 2 if a file can't be read.

With --config, the rules are those of its API version, and its input section is applied to
each line, a record's value. For binary formats, a line is the value as JSON.`,
		Example: `  clientevents validate events.ndjson
  clientevents generate --events 100 | clientevents validate`,
		Args: cobra.ArbitraryArgs,
	}
	version := versionFlag(cmd)
	path := configFlag(cmd)
	asJSON := jsonFlag(cmd, "each invalid event")
	complete := cmd.Flags().Bool("complete", false, "the input holds whole journeys: a parent that is missing from it is invalid")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		v, err := event.ParseVersion(*version)
		if err != nil {
			return usage("--api-version: %w", err)
		}
		o := validate.Options{Version: v, Complete: *complete}
		if *path != "" {
			if cmd.Flags().Changed("api-version") {
				return usage("expected either --config, which has an API version, or --api-version")
			}
			if o, err = configured(cmd.Context(), s, *path, o); err != nil {
				return err
			}
		}
		return validateFiles(cmd.Context(), s, files, o, *asJSON)
	}
	return cmd
}

// configured applies the input section of a configuration to each line.
func configured(ctx context.Context, s Streams, path string, o validate.Options) (validate.Options, error) {
	c, err := loadConfig(s, path)
	if err != nil {
		return o, err
	}
	o.Version = c.API.Version
	o.Decode, err = lineDecoder(ctx, c)
	return o, err
}

// lineDecoder returns a function that applies the input section of a configuration to a
// line: the record's value as JSON.
func lineDecoder(ctx context.Context, c *config.Config) (func(ndjson.Line) ([]*event.Event, *event.Fault), error) {
	decoder, err := input.New(c.Decoding())
	if err != nil {
		return nil, err
	}
	return func(line ndjson.Line) ([]*event.Event, *event.Fault) {
		if line.TooLong {
			_, fault := line.Decode(c.API.Version)
			return nil, fault
		}
		r := input.Record{Topic: c.Kafka.Topic, Offset: int64(line.Number), Value: line.Data}
		events, fault, err := decoder.DecodeJSON(ctx, &r, nil)
		if err != nil {
			fault = &event.Fault{Reason: event.ReasonUndecodable, Detail: err.Error()}
		}
		return events, fault
	}, nil
}

func validateFiles(ctx context.Context, s Streams, files []string, o validate.Options, asJSON bool) error {
	var written error
	result, err := validate.Validate(ctx, inputs(ctx, s, files), o, func(f validate.Finding) error {
		written = printInvalid(s, f, asJSON)
		return written
	})
	fmt.Fprintf(s.Err, "%d events, %d at fault\n", result.Events, result.Faults)
	printedHints(s, result.Printed)
	if hint := result.Elsewhere.String(); hint != "" {
		fmt.Fprintf(s.Err, "%s: is --api-version correct?\n", hint)
	}
	if result.Forgot {
		fmt.Fprintf(s.Err, "Of so many events, each was compared with the %d before it alone, at least.\n", validate.DefaultRemember/2)
	}
	if err != nil && written == nil && ctx.Err() == nil {
		return &usageError{"clientevents validate", err} // a file that can't be read
	}
	if err != nil {
		return err
	}
	if result.Faults > 0 {
		return &silentError{exitFailed}
	}
	return nil
}

// printedHints tells what to do with files in which JSON is printed over several lines.
func printedHints(s Streams, files []string) {
	for _, file := range files {
		fmt.Fprintln(s.Err, ndjson.PrintedHint(terminal.Printable(file)))
	}
}

// printInvalid prints one line about an invalid event.
func printInvalid(s Streams, f validate.Finding, asJSON bool) error {
	if asJSON {
		return writeJSON(s.Out, f)
	}
	_, err := fmt.Fprintln(s.Out, f)
	return err
}

func versionFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("api-version", "v4", "the API's `VERSION` whose rules apply: v3, v4beta1 or v4")
}

// inputs opens the files in turn, or takes standard input where there are none;
// "-" is standard input too. Before the first it looks whether all are there.
func inputs(ctx context.Context, s Streams, files []string) iter.Seq2[validate.Source, error] {
	if len(files) == 0 {
		files = []string{"-"}
	}
	return func(yield func(validate.Source, error) bool) {
		if err := allReadable(files); err != nil {
			yield(validate.Source{}, err)
			return
		}
		for _, name := range files {
			source, closer, err := open(ctx, s, name)
			goOn := yield(source, err)
			if err == nil {
				closer.Close()
			}
			if !goOn {
				return
			}
		}
	}
}

func allReadable(files []string) error {
	for _, name := range files {
		if name == "-" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return fmt.Errorf("%s is a directory: expected files of newline-delimited JSON", name)
		}
	}
	return nil
}

func open(ctx context.Context, s Streams, name string) (validate.Source, io.Closer, error) {
	if name == "-" {
		in := ndjson.Interruptible(ctx, s.In)
		return validate.Source{Name: "<stdin>", Reader: in}, io.NopCloser(in), nil
	}
	f, err := os.Open(name)
	return validate.Source{Name: name, Reader: f}, f, err
}
