package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/emulatorflags"
)

func newEmulatorCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "emulator --listen ADDR",
		Short: "Run a local Talent Solution",
		Long: `Serve companies, jobs and tenants of v3, v4beta1 and v4, search among the jobs, and
clientEvents.create of these and v3p1beta1, in single requests and HTTP batches, with Google's
rules. A page at / shows its jobs, the events as they arrive, and the events that the service
would discard. The same data is at
/emulator/events, /emulator/report, /emulator/companies, /emulator/jobs and
/emulator/stats; POST /emulator/reset deletes it. Flags inject faults.`,
		Example: `  clientevents emulator --listen 127.0.0.1:8080
  clientevents emulator --listen 127.0.0.1:8080 --data ./talent
  clientevents emulator --listen 127.0.0.1:8080 --latency 20ms --quota 300/1m --errors 503=0.01,429=0.02
  curl http://127.0.0.1:8080/emulator/events?limit=5`,
	}
	listen := cmd.Flags().String("listen", "127.0.0.1:8080", "`ADDR` to listen on")
	flags := emulatorflags.Register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := address("listen", *listen); err != nil {
			return err
		}
		e, err := flags.Open()
		if err != nil {
			return usage("%w", err)
		}
		return errors.Join(serveEmulator(cmd.Context(), s, *listen, e), e.Close())
	}
	return cmd
}

func serveEmulator(ctx context.Context, s Streams, addr string, e *emulator.Emulator) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("--listen: %q: %w", addr, err)
	}
	fmt.Fprintf(s.Out, "listening on http://%s\n", l.Addr())
	return e.Serve(ctx, l)
}
