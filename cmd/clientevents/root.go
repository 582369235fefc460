package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/config"
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Environ  []string
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is wrong usage or configuration.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// silentError fails without saying anything more: the output says it all.
type silentError struct{ code int }

func (e *silentError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// Main runs one command and returns the process's exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var silent *silentError
	var wrong *usageError
	var faults config.Faults
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &silent):
		return silent.code
	case errors.As(err, &faults):
		fmt.Fprintln(s.Err, faults.Error())
		return exitUsage
	case errors.As(err, &wrong):
		fmt.Fprintln(s.Err, "clientevents: "+wrong.Error())
		return exitUsage
	default:
		fmt.Fprintln(s.Err, "clientevents: "+err.Error())
		return exitFailed
	}
}

func newRoot(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "clientevents",
		Short: "Carry job seekers' events from Kafka to Cloud Talent Solution",
		Long: `clientevents carries job seekers' events (impression, view, apply …) from a Kafka
topic to Google Cloud Talent Solution: nothing lost, nothing twice, and what
can't be delivered goes to a dead-letter topic with its reason.`,
		Example: `  # See it at work, with nothing else installed
  clientevents demo

  # Carry events, once the configuration is sound
  clientevents check --config clientevents.yaml
  clientevents run --config clientevents.yaml`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(cmd, args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	root.AddGroup(
		&cobra.Group{ID: "carry", Title: "Carry events:"},
		&cobra.Group{ID: "events", Title: "Make and check events:"},
		&cobra.Group{ID: "try", Title: "Try it out:"},
	)
	for _, c := range []struct {
		group   string
		command *cobra.Command
	}{
		{"carry", newRunCommand(s)},
		{"carry", newCheckCommand(s)},
		{"carry", newDeadLettersCommand(s)},
		{"events", newValidateCommand(s)},
		{"events", newPublishCommand(s)},
		{"events", newGenerateCommand(s)},
		{"events", newSchemaCommand(s)},
		{"try", newDemoCommand(s)},
		{"try", newEmulatorCommand(s)},
		{"", newVersionCommand(s)},
	} {
		c.command.GroupID = c.group
		if c.command.Args == nil {
			c.command.Args = noArgs
		}
		root.AddCommand(c.command)
	}
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no arguments, but got %q: see '%s --help'", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	return usage("unknown command %q: did you mean %s? See '%s --help'", name, config.Nearest(name, known), cmd.CommandPath())
}

// flagError names the flag that was meant, where one was misspelt.
func flagError(cmd *cobra.Command, err error) error {
	message := err.Error()
	if name, ok := strings.CutPrefix(message, "unknown flag: --"); ok {
		var known []string
		cmd.Flags().VisitAll(flagNames(&known))
		cmd.InheritedFlags().VisitAll(flagNames(&known))
		message += ": did you mean --" + config.Nearest(name, known) + "?"
	}
	return usage("%s: %s", cmd.CommandPath(), message)
}

// loadConfig reads the configuration that --config names.
func loadConfig(s Streams, path string) (*config.Config, error) {
	c, err := config.Load(path, s.Environ)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings {
		fmt.Fprintln(s.Err, "clientevents: warning: "+w)
	}
	return c, nil
}

func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("config", "", "the configuration `FILE` (YAML); environment variables override its keys")
}
