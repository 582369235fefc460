package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/ndjson"
	"github.com/clientevents/clientevents/internal/validate"
)

func newValidateCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate [FILE…]",
		Short: "Check newline-delimited JSON events against the rules",
		Long: `Check events, one JSON object a line, in files or on standard input. Each fault is
one line on standard output: FILE:LINE: reason: detail. The reasons are those of
the dead letters. An id that stands twice with different content, and a parent
that stands in the input and can't lead to its child, are faults too; a parent
that isn't in the input is one with --complete alone. "-" is standard input.`,
		Example: `  clientevents validate events.ndjson
  clientevents generate --events 100 | clientevents validate`,
		Args: cobra.ArbitraryArgs,
	}
	version := versionFlag(cmd)
	complete := cmd.Flags().Bool("complete", false, "the input holds whole journeys: a parent that is not in it is a fault")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		v, err := event.ParseVersion(*version)
		if err != nil {
			return usage("--api-version: %w", err)
		}
		return validateFiles(cmd.Context(), s, files, validate.Options{Version: v, Complete: *complete})
	}
	return cmd
}

func validateFiles(ctx context.Context, s Streams, files []string, o validate.Options) error {
	result, err := validate.Validate(ctx, inputs(ctx, s, files), o, s.Out)
	fmt.Fprintf(s.Err, "%d events, %d at fault\n", result.Events, result.Faults)
	if hint := result.Elsewhere.String(); hint != "" {
		fmt.Fprintf(s.Err, "%s: is --api-version right?\n", hint)
	}
	if result.Forgot {
		fmt.Fprintf(s.Err, "Of so many events, each was compared with the %d before it alone, at least.\n", validate.DefaultRemember/2)
	}
	if err != nil {
		return err
	}
	if result.Faults > 0 {
		return &silentError{exitFailed}
	}
	return nil
}

func versionFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("api-version", "v3", "the API's `VERSION` whose rules apply: v3, v4beta1 or v4")
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
			return fmt.Errorf("%s is a directory: want files of newline-delimited JSON", name)
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
