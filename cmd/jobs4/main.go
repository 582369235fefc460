// Command jobs4 calls the methods of Cloud Talent Solution v4, their requests
// typed field by field.
//
// See docs/jobs3.md, and "jobs4 --help".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/clientevents/clientevents/internal/discovery"
	"github.com/clientevents/clientevents/internal/discoverycli"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	api, err := discovery.JobsV4()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program := &discoverycli.Program{
		Name:    "jobs4",
		Version: discoverycli.BuildVersion(),
		API:     api,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Getenv:  os.Getenv,
	}
	return program.Run(ctx, os.Args[1:])
}
