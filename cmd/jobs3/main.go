// Command jobs3 calls the methods of Cloud Talent Solution v3, their requests
// typed field by field.
//
// See docs/jobs3.md, and "jobs3 --help".
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
	api, err := discovery.JobsV3()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program := &discoverycli.Program{
		Name:    "jobs3",
		Version: discoverycli.BuildVersion(),
		API:     api,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Getenv:  os.Getenv,
	}
	return program.Run(ctx, os.Args[1:])
}
