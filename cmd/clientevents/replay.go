package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/deadletter"
	"github.com/clientevents/clientevents/internal/progress"
	"github.com/clientevents/clientevents/internal/validate"
)

func newReplayCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay --config FILE",
		Short: "Publish the records of dead letters to the source topic again",
		Long: `Publish the original key, value and headers of dead letters to the source topic,
into the partition of origin. Repeating it is safe: reported events are
duplicates, and invalid records become dead letters again. The header
` + deadletter.HeaderReplays + ` counts the replays. Records that were replayed before are
skipped and not counted, if the source topic still retains the replays; --again includes
them.

With --from, the dead letters are those of a file with lines of 'dead-letters list --json
--values', in which key and value may be edited. Edited records are validated as by
'run'; if one is invalid, nothing is published. Headers can't be edited.`,
		Example: `  clientevents dead-letters replay --config clientevents.yaml --reason rejected --dry-run
  clientevents dead-letters replay --config clientevents.yaml --reason rejected

  # Edit records, then replay them
  clientevents dead-letters list --config clientevents.yaml --reason invalid_type --json --values > letters.ndjson
  jq -c '.value |= (fromjson | .jobEvent.type = "VIEW" | tojson)' letters.ndjson > edited.ndjson
  clientevents dead-letters replay --config clientevents.yaml --from edited.ndjson`,
	}
	flags := addLetterFlags(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "count the records without publishing them")
	again := cmd.Flags().Bool("again", false, "include records that were replayed before")
	asJSON := jsonFlag(cmd, "the result")
	from := cmd.Flags().String("from", "", "replay the dead letters of this `FILE`, edited or not; - is standard input")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r := replay{s: s, dryRun: *dryRun, again: *again, asJSON: *asJSON}
		if *from == "" {
			return flags.each(cmd.Context(), s, func(k *connect.Kafka, c *config.Config, f deadletter.Filter) error {
				return r.letters(cmd.Context(), k, c, f)
			})
		}
		for _, name := range []string{"reason", "since", "limit"} {
			if cmd.Flags().Changed(name) {
				return usage("--from names the dead letters: remove --%s", name)
			}
		}
		return r.file(cmd.Context(), *flags.path, *from)
	}
	return cmd
}

// replay is one run of the command.
type replay struct {
	s                     Streams
	dryRun, again, asJSON bool
}

// letters replays the dead letters that a filter takes.
func (r replay) letters(ctx context.Context, k *connect.Kafka, c *config.Config, f deadletter.Filter) error {
	to, err := r.replayer(ctx, k, c, f)
	if err != nil {
		return err
	}
	if !r.again {
		f.Skip = to.Replayed
	}
	shown := progress.New(r.s.Err, "replayed")
	defer shown.Close()
	err = deadletter.Read(ctx, k, c, f, func(l deadletter.Letter) error {
		shown.Set(to.Published)
		return to.Add(ctx, l)
	})
	return r.finish(ctx, to, c, err)
}

// replayer returns a replayer that knows the replays since the first dead letter that f
// takes by its time.
func (r replay) replayer(ctx context.Context, k *connect.Kafka, c *config.Config, f deadletter.Filter) (*deadletter.Replayer, error) {
	to, err := deadletter.NewReplayer(ctx, k, c)
	if err != nil {
		return nil, err
	}
	to.DryRun = r.dryRun
	if r.again {
		return to, nil
	}
	first, err := deadletter.First(ctx, k, c, f)
	if err != nil {
		return nil, err
	}
	return to, to.LearnReplayed(ctx, first)
}

func (r replay) finish(ctx context.Context, to *deadletter.Replayer, c *config.Config, err error) error {
	if err == nil {
		err = to.Flush(ctx)
	}
	if err != nil {
		return err
	}
	return r.print(to, c.Kafka.Topic)
}

// file replays the dead letters of a file. It reads and validates all of it before it
// publishes anything.
func (r replay) file(ctx context.Context, path, name string) error {
	source, closer, err := open(ctx, r.s, name)
	if err != nil {
		return err
	}
	defer closer.Close()
	edits, err := deadletter.ReadEdits(source)
	if err != nil {
		return fmt.Errorf("%s:%w", source.Name, err)
	}
	return withLetters(ctx, r.s, path, func(k *connect.Kafka, c *config.Config) error {
		if err := r.validate(ctx, k, c, edits, source.Name); err != nil {
			return err
		}
		to, err := r.replayer(ctx, k, c, deadletter.Filter{})
		if err != nil {
			return err
		}
		err = deadletter.EachEdited(ctx, k, c, edits, func(e *deadletter.Edit, l deadletter.Letter) error {
			if !r.again && to.Replayed(&l) {
				return nil
			}
			key, value := e.Content(&l)
			return to.AddEdited(ctx, l, key, value)
		})
		return r.finish(ctx, to, c, err)
	})
}

// validate decodes the edited records and prints the faults.
func (r replay) validate(ctx context.Context, k *connect.Kafka, c *config.Config, edits []deadletter.Edit, file string) error {
	decoder, err := input.New(c.Decoding())
	if err != nil {
		return err
	}
	invalid := 0
	err = deadletter.EachEdited(ctx, k, c, edits, func(e *deadletter.Edit, l deadletter.Letter) error {
		key, value := e.Content(&l)
		events, fault, err := decoder.Decode(ctx, &input.Record{
			Topic: c.Kafka.Topic, Offset: l.Record.Offset, Timestamp: l.Record.Time, Key: key, Value: value, Headers: l.Original().Headers,
		}, nil)
		if err == nil && fault == nil && len(events) == 0 {
			fault = &event.Fault{Reason: event.ReasonUnmapped, Detail: "the mapping returns no event, so that the record would be skipped"}
		}
		if fault != nil {
			invalid++
			err = errors.Join(err, printInvalid(r.s, validate.Finding{File: file, Line: e.Line, Reason: fault.Reason, Detail: fault.Detail}, r.asJSON))
		}
		return err
	})
	if err == nil && invalid > 0 {
		err = fmt.Errorf("%d of %d records of %s are invalid: nothing was replayed", invalid, len(edits), file)
	}
	return err
}

// replayed is the document of 'dead-letters replay --json'. It counts dead letters.
type replayed struct {
	Topic  string `json:"topic"` // the source topic
	DryRun bool   `json:"dry_run"`
	// Replayed counts records, published or with --dry-run to be published.
	Replayed   int `json:"replayed"`
	Repeated   int `json:"repeated"`
	Already    int `json:"already_replayed"`
	OtherTopic int `json:"of_other_topics"`
	Redacted   int `json:"redacted"` // without a value
}

// print prints the results of a replay.
func (r replay) print(of *deadletter.Replayer, topic string) error {
	if r.asJSON {
		return writeJSON(r.s.Out, replayed{topic, of.DryRun, of.Published, of.Repeated, of.Already, of.OfOthers, of.Redacted})
	}
	done := "replayed"
	if of.DryRun {
		done = "would be replayed"
	}
	fmt.Fprintf(r.s.Out, "%d records %s to %s\n", of.Published, done, topic)
	if of.Repeated > 0 {
		fmt.Fprintf(r.s.Out, "%d dead letters were repetitions of those\n", of.Repeated)
	}
	if of.Already > 0 {
		fmt.Fprintf(r.s.Out, "%d dead letters were replayed already; --again replays them, too\n", of.Already)
	}
	if of.Redacted > 0 {
		fmt.Fprintf(r.s.Out, "%d dead letters have no value (privacy.dead_letters: redact) and can't be replayed; dlq-topic, dlq-partition and dlq-offset name the original records\n", of.Redacted)
	}
	if of.OfOthers > 0 {
		fmt.Fprintf(r.s.Out, "%d dead letters are of another source topic\n", of.OfOthers)
	}
	return nil
}
