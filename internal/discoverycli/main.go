package discoverycli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/clientevents/clientevents/internal/discovery"
)

// Main runs the program with the name for the API that read returns, with the
// process's arguments, streams and environment. It returns the exit code.
func Main(name string, read func() (*discovery.API, error)) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	api, err := read()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	program := &Program{
		Name:    name,
		Version: BuildVersion(),
		API:     api,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Getenv:  os.Getenv,
	}
	return program.Run(ctx, os.Args[1:])
}
