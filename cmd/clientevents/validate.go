package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/ndjson"
)

func newValidateCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate [FILE…]",
		Short: "Check newline-delimited JSON events against the rules",
		Long: `Check events, one JSON object a line, in files or on standard input. Each fault is
one line on standard output: FILE:LINE: reason: detail. The reasons are those of
the dead letters. An id that stands twice with different content, and a parent
that stands in the input and can't lead to its child, are faults too; a parent
that isn't in the input is not.`,
		Example: `  clientevents validate events.ndjson
  clientevents generate --events 100 | clientevents validate`,
		Args: cobra.ArbitraryArgs,
	}
	version := versionFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, files []string) error {
		v, err := event.ParseVersion(*version)
		if err != nil {
			return usage("--api-version: %w", err)
		}
		out := bufio.NewWriter(s.Out)
		c := &checker{version: v, out: out, known: map[string]known{}}
		err = eachFile(s, files, c.file)
		if err := errors.Join(err, out.Flush()); err != nil {
			return err
		}
		fmt.Fprintf(s.Err, "%d events, %d at fault\n", c.events, c.faults)
		if c.faults > 0 {
			return &silentError{exitFailed}
		}
		return nil
	}
	return cmd
}

func versionFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("api-version", "v3", "the API's `VERSION` whose rules apply: v3, v4beta1 or v4")
}

// eachFile opens the files in turn, or takes standard input where there are
// none.
func eachFile(s Streams, files []string, do func(name string, r io.Reader) error) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		if name == "-" {
			if err := do("<stdin>", s.In); err != nil {
				return err
			}
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = do(name, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// checker validates events one after the other.
type checker struct {
	version event.Version
	out     io.Writer
	known   map[string]known
	events  int
	faults  int
}

// known is what later events of the input are compared with.
type known struct {
	content uint64
	event   *event.Event
}

func (c *checker) file(name string, r io.Reader) error {
	for line := range ndjson.Lines(r) {
		if line.Err != nil && !errors.Is(line.Err, ndjson.ErrTooLong) {
			return fmt.Errorf("read %s: %w", name, line.Err)
		}
		c.events++
		if fault := c.line(line); fault != nil {
			c.faults++
			fmt.Fprintf(c.out, "%s:%d: %s: %s\n", name, line.Number, fault.Reason, fault.Detail)
		}
	}
	return nil
}

func (c *checker) line(line ndjson.Line) *event.Fault {
	if line.Err != nil {
		return &event.Fault{Reason: event.ReasonTooLarge, Detail: fmt.Sprintf("the line is longer than %d bytes", ndjson.MaxLine)}
	}
	e, fault := event.Decode(line.Data, c.version)
	if fault != nil {
		return fault
	}
	if before, ok := c.known[e.ID]; ok {
		if before.content != e.Content() {
			return &event.Fault{Reason: event.ReasonIDConflict, Detail: "eventId stands further up with different content"}
		}
		return nil
	}
	if parent, ok := c.known[e.ParentID]; ok && e.ParentID != "" {
		if fault := e.CheckParent(parent.event.Type, parent.event.Time); fault != nil {
			return fault
		}
	}
	content := e.Content()
	// What a later event is compared with needs only this much.
	c.known[e.ID] = known{content, &event.Event{Type: e.Type, Time: e.Time}}
	return nil
}
