package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/emulator"
)

func newEmulatorCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "emulator --listen ADDR",
		Short: "Serve a local Talent Solution",
		Long: `Serve companies, jobs and tenants of v3, v4beta1 and v4, search among the jobs, and
clientEvents.create of these and v3p1beta1, by itself and in HTTP batches, as
strict as Google is. A page at / shows what it holds and the events as they arrive,
and says which of them the service would discard. The same can be read at
/emulator/events, /emulator/companies, /emulator/jobs and /emulator/stats. It can be
told to misbehave.`,
		Example: `  clientevents emulator --listen 127.0.0.1:8080
  clientevents emulator --listen 127.0.0.1:8080 --data ./talent
  clientevents emulator --listen 127.0.0.1:8080 --latency 20ms --quota 300/1m --errors 503=0.01,429=0.02
  curl http://127.0.0.1:8080/emulator/events?limit=5`,
	}
	listen := cmd.Flags().String("listen", "127.0.0.1:8080", "the `ADDR` to listen on")
	latency := cmd.Flags().Duration("latency", 0, "wait this long before each answer")
	jitter := cmd.Flags().Duration("jitter", 0, "and up to this much longer")
	shares := cmd.Flags().String("errors", "", "`SHARES` of calls that fail, by status, such as 503=0.01,429=0.02")
	quota := cmd.Flags().String("quota", "", "how many `CALLS` are taken in a time, such as 300/1m; over it is answered 429")
	outage := cmd.Flags().String("outage", "", "fail as a whole: "+outageNames())
	refuse := cmd.Flags().Int("refuse", 0, "answer this `STATUS` to every call")
	noBatch := cmd.Flags().Bool("no-batch", false, "know no HTTP batches")
	data := cmd.Flags().String("data", "", "keep all it holds in this `DIR`; without it that is gone with the process")
	keep := cmd.Flags().Int("keep", 1000, "how many accepted events to remember; 0 is none")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f := emulator.Faults{Latency: *latency, Jitter: *jitter, NoBatch: *noBatch}
		err := cmp.Or(notNegative("latency", *latency), notNegative("jitter", *jitter), notNegative("keep", *keep), address("listen", *listen))
		if err != nil {
			return err
		}
		if *keep == 0 {
			*keep = -1 // the package's word for none
		}
		if f.ErrorShares, err = parseShares(*shares); err != nil {
			return usage("--errors: %w", err)
		}
		if f.Quota, err = parseQuota(*quota); err != nil {
			return usage("--quota: %w", err)
		}
		if *refuse != 0 && (*refuse < 300 || *refuse > 599) {
			return usage("--refuse: %d: want an HTTP status from 300 to 599", *refuse)
		}
		if *refuse != 0 {
			f.All = emulator.Refuse(*refuse, "")
		}
		if *outage != "" {
			known := outages()
			if f.All = known[*outage]; f.All == nil {
				return usage("--outage: %q: want one of %s", *outage, outageNames())
			}
		}
		e, err := emulator.Open(emulator.Options{Faults: f, Keep: *keep, DataDir: *data})
		if err != nil {
			return usage("--data: %w", err)
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

// outages are the ways in which the whole service can be made to fail.
func outages() map[string]*emulator.Fault {
	return map[string]*emulator.Fault{
		"unavailable": emulator.Outage(),
		"hang":        {Hang: make(chan struct{})}, // until the client gives up
		"refused":     {Cut: emulator.CutConnection},
		"cut-headers": {Cut: emulator.CutHeaders},
		"cut-body":    {Cut: emulator.CutBody},
		"cut-after":   {Cut: emulator.CutConnection, AfterAccept: true},
	}
}

func outageNames() string { return strings.Join(slices.Sorted(maps.Keys(outages())), ", ") }

func parseShares(s string) (map[int]float64, error) {
	shares, sum := map[int]float64{}, 0.0
	if s == "" {
		return nil, nil
	}
	for item := range strings.SplitSeq(s, ",") {
		code, share, _ := strings.Cut(item, "=")
		status, err := strconv.Atoi(strings.TrimSpace(code))
		x, err2 := strconv.ParseFloat(strings.TrimSpace(share), 64)
		if err != nil || err2 != nil || status < 300 || status > 599 || x < 0 || x > 1 {
			return nil, fmt.Errorf("%q: want STATUS=SHARE with a share from 0 to 1, such as 503=0.01", item)
		}
		shares[status] += x
		sum += x
	}
	if sum > 1 {
		return nil, fmt.Errorf("%q: the shares add up to more than 1", s)
	}
	return shares, nil
}

func parseQuota(s string) (emulator.Quota, error) {
	if s == "" {
		return emulator.Quota{}, nil
	}
	calls, per, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(calls)
	if err != nil || n < 1 || !ok {
		return emulator.Quota{}, fmt.Errorf("%q: want CALLS/TIME, such as 300/1m", s)
	}
	if per != "" && strings.Trim(per, "smh") == "" {
		per = "1" + per // 5/s
	}
	d, err := time.ParseDuration(per)
	if err != nil || d <= 0 {
		return emulator.Quota{}, fmt.Errorf("%q: want CALLS/TIME, such as 300/1m", s)
	}
	return emulator.Quota{Limit: n, Window: d}, nil
}
