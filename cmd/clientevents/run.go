package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/logging"
)

func newRunCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Carry events from Kafka to the API until told to stop",
		Long: `Consume, validate, deduplicate, batch and report events, until SIGTERM or SIGINT.
Then finish what is in flight, commit, and leave the consumer group.`,
		Example: `  clientevents run --config clientevents.yaml
  CLIENTEVENTS_REPORT_RATE=50 clientevents run --config clientevents.yaml`,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		level := new(slog.LevelVar)
		level.Set(c.Log.Level)
		app.TuneMemory(os.Getenv)
		return app.Run(cmd.Context(), app.Options{Config: c, Logger: logging.New(s.Err, c.Log.Format, level), Level: level})
	}
	return cmd
}
