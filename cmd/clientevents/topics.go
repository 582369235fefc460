package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/terminal"
	"github.com/clientevents/clientevents/internal/topics"
)

func newTopicsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topics create|describe --config FILE",
		Short: "Create the topics with safe settings, or show them and their problems",
	}
	cmd.AddCommand(newTopicsCreateCommand(s), newTopicsDescribeCommand(s))
	onlySubcommands(cmd)
	return cmd
}

func newTopicsCreateCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --config FILE",
		Short: "Create the topics that do not exist",
		Long: `Create the source topic, the dead-letter topic, the state topic and, with input.rekey,
the by-request topic, if they do not exist. The settings preserve the guarantees: the
state topic has the partitions of the source topic and keeps reported IDs for
dedupe.window, dead letters of all records fit, and acknowledged records survive the loss
of a broker. Existing topics are checked but not changed. Repeating the command is safe.
Exit code 1 if a topic can't be created or is unfit.`,
		Example: `  clientevents topics create --config clientevents.yaml
  clientevents topics create --config clientevents.yaml --partitions 24 --replication-factor 3`,
		Args: noArgs,
	}
	var o topics.Options
	path := configFlag(cmd)
	cmd.Flags().IntVar(&o.Partitions, "partitions", 0, fmt.Sprintf("create the source topic with `N` partitions (default %d)", topics.DefaultPartitions))
	cmd.Flags().IntVar(&o.Replication, "replication-factor", 0,
		"create topics with `N` replicas (default kafka.state_replication_factor, else 3, or the number of brokers if fewer)")
	asJSON := jsonFlag(cmd, "each topic")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, f := range []struct {
			name  string
			value int
		}{{"partitions", o.Partitions}, {"replication-factor", o.Replication}} {
			if cmd.Flags().Changed(f.name) && f.value < 1 {
				return usage("--%s: %d: expected a whole number, 1 or more", f.name, f.value)
			}
		}
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		created, createErr := createTopics(cmd.Context(), c, o)
		if createErr != nil && len(created) == 0 {
			return createErr
		}
		all, err := check.Topics(cmd.Context(), c, check.Options{})
		if err != nil {
			return cmp.Or(createErr, err)
		}
		for i := range all {
			t := &all[i]
			t.Created = created[t.Role]
			if t.Role == check.SourceTopic && t.Exists && o.Partitions != 0 && o.Partitions != t.Partitions {
				s.complain(fmt.Sprintf("clientevents: warning: topic %s has %d partitions already: --partitions %d has no effect", t.Name, t.Partitions, o.Partitions))
			}
		}
		return cmp.Or(createErr, showTopics(s, all, *asJSON))
	}
	return cmd
}

// createTopics creates missing topics, and returns the roles of those that it created.
func createTopics(ctx context.Context, c *config.Config, o topics.Options) (created map[check.Role]bool, err error) {
	k, err := connect.NewKafka(c, connect.Options{})
	if err != nil {
		return nil, err
	}
	defer k.Close()
	created = map[check.Role]bool{}
	err = topics.Create(ctx, k, c, o, func(r check.Role) { created[r] = true })
	if err != nil {
		return created, check.Explain(ctx, k, c, err)
	}
	return created, nil
}

func newTopicsDescribeCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "describe --config FILE",
		Short: "Show the topics, their settings and their problems",
		Long: `Show the source topic, the dead-letter topic, the state topic and, with input.rekey, the
by-request topic: whether they exist, their partitions, replicas and settings, and their
problems with the remedies. Exit code 1 if a topic is missing or unfit (FAIL). A note is a
risk, such as one replica, and not a failure. Nothing is changed.`,
		Example: `  clientevents topics describe --config clientevents.yaml
  clientevents topics describe --config clientevents.yaml --json | jq 'select(.problems != [])'`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	asJSON := jsonFlag(cmd, "each topic")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		all, err := check.Topics(cmd.Context(), c, check.Options{})
		if err != nil {
			return err
		}
		return showTopics(s, all, *asJSON)
	}
	return cmd
}

// showTopics prints topics and their problems. It fails if a topic is missing or unfit.
func showTopics(s Streams, all []check.Topic, asJSON bool) error {
	failed := false
	for i := range all {
		t := &all[i]
		failed = failed || t.Failed()
		if asJSON {
			if err := writeJSON(s.Out, t); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(s.Out, terminal.Printable(t.String()))
		for _, f := range t.Problems {
			if _, err := fmt.Fprintln(s.Out, "  "+terminal.Printable(f.String())); err != nil {
				return err
			}
		}
	}
	if failed {
		return &silentError{exitFailed}
	}
	return nil
}
