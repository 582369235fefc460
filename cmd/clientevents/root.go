package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/scrub"
	"github.com/clientevents/clientevents/internal/terminal"
	"github.com/clientevents/clientevents/internal/version"
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Environ  []string
	// secrets removes the secrets of the configuration from what commands print; a
	// command that needs no configuration has none.
	secrets *scrub.Scrubber
}

// complain prints an error or a warning, which may repeat text of any origin.
func (s Streams) complain(text string) {
	fmt.Fprintln(s.Err, terminal.Lines(s.secrets.Text(text)))
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is wrong usage of a command.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.command + ": " + e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &usageError{"clientevents", fmt.Errorf(format, args...)}
}

// silentError fails without saying anything more: the output says it all.
type silentError struct{ code int }

func (e *silentError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// Main runs one command and returns the process's exit code.
func Main(ctx context.Context, args []string, s Streams) (code int) {
	defer func() {
		// A person gets one line and not a stack trace. The panics of other
		// goroutines can't be caught here.
		if p := recover(); p != nil {
			s.complain(fmt.Sprintf("clientevents: this is a fault of the program: %v", p))
			code = exitFailed
		}
	}()
	s.secrets = &scrub.Scrubber{}
	s.secrets.AddEnviron(s.Environ)
	var out *output
	s.Out, out = watched(s.Out)
	root := newRoot(s)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if lost := out.failure(); lost != nil && !errors.Is(err, lost) {
		s.complain("clientevents: " + lost.Error())
		if err == nil {
			return exitFailed
		}
	}
	if err == nil {
		return exitDone
	}
	code, message := failureOf(err)
	if message != "" {
		s.complain(message)
		if wantsJSON(cmd, args) {
			_ = writeJSON(s.Out, failedJSON{s.secrets.Text(message)})
		}
	}
	return code
}

// failureOf returns the exit code and the message of a command that failed. The message is
// empty if the output says it all.
func failureOf(err error) (code int, message string) {
	var silent *silentError
	var wrong *usageError
	var faults config.Faults
	switch {
	case errors.As(err, &silent):
		return silent.code, ""
	case errors.As(err, &faults):
		return exitUsage, faults.Error()
	case errors.As(err, &wrong):
		return exitUsage, wrong.Error()
	}
	return exitFailed, "clientevents: " + err.Error()
}

func newRoot(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "clientevents",
		Short: "Carry job seekers' events from Kafka to Cloud Talent Solution",
		Long: `clientevents carries job seekers' events (impression, view, apply …) from a Kafka
topic to Google Cloud Talent Solution. It loses none and reports none twice; an event that
can't be delivered becomes a dead letter with its reason.`,
		Example: `  # Try it, with nothing else installed
  clientevents demo

  # Carry events
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
	addCommands(root, s)
	root.Version = version.Number()
	root.SetVersionTemplate("clientevents {{.Version}}\n")
	completeDefaults(root)
	return root
}

// addCommands adds each command to its group in the help.
func addCommands(root *cobra.Command, s Streams) {
	for _, c := range []struct {
		group   string
		command *cobra.Command
	}{
		{"carry", newRunCommand(s)},
		{"carry", newCheckCommand(s)},
		{"carry", newConfigCommand(s)},
		{"carry", newTopicsCommand(s)},
		{"carry", newAdminCommand(s)},
		{"carry", newTopCommand(s)},
		{"carry", newDeadLettersCommand(s)},
		{"carry", newRehearseCommand(s)},
		{"carry", newFindCommand(s)},
		{"events", newValidateCommand(s)},
		{"events", newTestCommand(s)},
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
}

// completeDefaults makes the commands that cobra adds refuse what they don't
// know: by themselves they show their help, and succeed.
func completeDefaults(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				found, rest, err := root.Find(args)
				if err != nil || len(rest) > 0 {
					return unknownCommand(found, append(rest, args...)[0])
				}
				return nil
			}
		case "completion":
			onlySubcommands(cmd)
			for _, shell := range cmd.Commands() {
				shell.Args = noArgs
			}
		}
	}
}

// onlySubcommands makes cmd ask for one of its subcommands.
func onlySubcommands(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		var forms []string
		for _, c := range cmd.Commands() {
			forms = append(forms, "'"+c.CommandPath()+"'")
		}
		return usage("expected one of %s", strings.Join(forms, ", "))
	}
	cmd.RunE = func(*cobra.Command, []string) error { return nil }
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
		if c.IsAvailableCommand() || c.Name() == "help" {
			known = append(known, c.Name())
		}
	}
	if len(known) == 0 {
		return usage("unknown command %q: '%s' has none of its own", name, cmd.CommandPath())
	}
	return usage("unknown command %q: did you mean %s? See '%s --help'", name, config.Nearest(name, known), cmd.CommandPath())
}

// flagError describes the fault of a flag, and names the intended one if it is
// misspelt.
func flagError(cmd *cobra.Command, err error) error {
	message := err.Error()
	if wrong, ok := errors.AsType[*pflag.NotExistError](err); ok && wrong.GetSpecifiedShortnames() == "" {
		var known []string
		add := func(f *pflag.Flag) { known = append(known, f.Name) }
		cmd.Flags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		message += ": did you mean --" + config.Nearest(wrong.GetSpecifiedName(), known) + "?"
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := wrong.GetFlag()
		message = fmt.Sprintf("--%s: %q: expected %s", f.Name, wrong.GetValue(), valuesOf(f))
	}
	return &usageError{cmd.CommandPath(), errors.New(message)}
}

// valuesOf says what a flag takes, in more words than its type's name.
func valuesOf(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int":
		return "a whole number"
	case "uint64":
		return "a whole number, 0 or more"
	case "float64":
		return "a number"
	case "duration":
		return "a duration, such as 500ms, 30s or 24h"
	case "bool":
		return "true or false"
	}
	return "a " + f.Value.Type()
}

// port describes the fault of a flag's value that is a port.
func port(flag string, value int) error {
	if value < 0 || value > 65535 {
		return usage("--%s: %d: expected a port from 0 to 65535; 0 is any that is free", flag, value)
	}
	return nil
}

// address describes the fault of a flag's value that is an address to listen on.
func address(flag, value string) error {
	if err := config.CheckListen(value); err != nil {
		return usage("--%s: %q: %w", flag, value, err)
	}
	return nil
}

// loadConfig reads the configuration that --config names.
func loadConfig(s Streams, path string) (*config.Config, error) {
	c, err := config.Load(path, s.Environ)
	if err != nil {
		return nil, err
	}
	c.Hide(s.secrets)
	for _, w := range c.Warnings {
		s.complain("clientevents: warning: " + w)
	}
	return c, nil
}

func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("config", "", "the configuration `FILE` (YAML); environment variables override its keys")
}
