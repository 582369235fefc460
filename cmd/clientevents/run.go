package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/proc"
)

func newRunCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Carry events from Kafka to the API until SIGTERM or SIGINT",
		Long: `Consume, validate, deduplicate, batch and report events, until SIGTERM or SIGINT.
Then finish the events in flight, commit, and leave the consumer group. SIGHUP, or a
change of the file, applies the changed keys that need no restart.`,
		Example: `  clientevents run --config clientevents.yaml
  CLIENTEVENTS_REPORT_RATE=50 clientevents run --config clientevents.yaml`,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		display := newRunDisplay(s)
		output := display.log(c.Log)
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		proc.TuneMemory(os.Getenv)
		o := app.Options{
			Config: c, Logger: output.Logger(), Level: &output.Level, SetLogFormat: output.SetFormat,
			Reload: app.ReloadOptions{
				Load: func() (*config.Config, error) { return config.Load(*path, s.Environ) },
				File: *path, Hangup: hangup,
			},
		}
		defer display.watch(cmd.Context(), &o)()
		return app.Run(cmd.Context(), o)
	}
	return cmd
}
