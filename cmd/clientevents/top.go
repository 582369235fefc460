package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/internal/progress"
	"github.com/clientevents/clientevents/internal/top"
)

// defaultAdmin is the admin address of a replica on this machine.
const defaultAdmin = "http://127.0.0.1:9090"

func newTopCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top [--url URL]…",
		Short: "Watch the replicas of a group",
		Long: `Show events per second, lag, dead letters, quota use and problems of one or more replicas
from their admin ports, until Ctrl-C. Without a terminal, print one line per interval; --once ends after the first line.`,
		Example: `  clientevents top
  clientevents top --url http://replica-1:9090 --url http://replica-2:9090
  clientevents top --once --json | jq .summary.headline`,
	}
	urls := cmd.Flags().StringSlice("url", []string{defaultAdmin}, "the admin `URL` of a replica; can be given several times")
	w := watchFlags(cmd, s)
	once := cmd.Flags().Bool("once", false, "show the status once; exit 1 if a replica does not answer or is bad")
	asJSON := jsonFlag(cmd, "each replica and interval, the whole status")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		w.urls, w.once, w.json = *urls, *once, *asJSON
		return w.run(cmd.Context())
	}
	return cmd
}

// watcher shows replicas again and again.
type watcher struct {
	s          Streams
	every      time.Duration
	urls       []string
	once, json bool
}

func watchFlags(cmd *cobra.Command, s Streams) *watcher {
	w := &watcher{s: s}
	cmd.Flags().DurationVar(&w.every, "every", 2*time.Second, "interval between updates")
	return w
}

func (w *watcher) run(ctx context.Context) error {
	for _, u := range w.urls {
		if err := adminURL(u); err != nil {
			return err
		}
	}
	if w.every < 100*time.Millisecond {
		return usage("--every: %s: expected 100ms or more", w.every)
	}
	client := top.Client()
	if w.once {
		all := top.Ask(ctx, client, w.urls)
		if err := w.print(all); err != nil {
			return err
		}
		if top.Bad(all) {
			return &silentError{exitFailed}
		}
		return nil
	}
	screen := progress.NewDisplay(w.s.Out)
	if w.json {
		screen = nil
	}
	defer screen.Clear()
	var failed error
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	top.Watch(ctx, w.every, func() {
		all := top.Ask(ctx, client, w.urls)
		switch {
		case ctx.Err() != nil:
		case screen != nil:
			screen.Draw(top.Lines(all, screen.Rows())...)
		default:
			if failed = w.print(all); failed != nil { // such as a closed pipe
				stop()
			}
		}
	})
	return failed
}

// print writes one line for the group, or JSON for each replica.
func (w *watcher) print(all []top.Replica) error {
	if !w.json {
		_, err := fmt.Fprintln(w.s.Out, top.Line(all, time.Now()))
		return err
	}
	for _, r := range all {
		document := any(replicaJSON{r.URL, r.Status})
		if r.Err != nil {
			document = struct {
				URL   string `json:"url"`
				Error string `json:"error"`
			}{r.URL, r.Err.Error()}
		}
		if err := writeJSON(w.s.Out, document); err != nil {
			return err
		}
	}
	return nil
}

// replicaJSON is a status with the URL of its replica.
type replicaJSON struct {
	URL string `json:"url"`
	*admin.Status
}

// adminURL checks the address of an admin port.
func adminURL(address string) error {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return usage("--url: %q: expected an http or https URL, such as %s", address, defaultAdmin)
	}
	return nil
}
