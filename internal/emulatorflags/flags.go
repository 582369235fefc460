// Package emulatorflags has the flags of the commands that run an emulator.
package emulatorflags

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/clientevents/clientevents/emulator"
)

// Flags are the values of the flags.
type Flags struct {
	latency, jitter       time.Duration
	shares, quota, outage string
	refuse, keep          int
	noBatch               bool
	data, hosts, seed     string
}

// Register adds the flags to a set.
func Register(set *pflag.FlagSet) *Flags {
	f := new(Flags)
	set.DurationVar(&f.latency, "latency", 0, "delay before each response")
	set.DurationVar(&f.jitter, "jitter", 0, "additional random delay of up to this duration")
	set.StringVar(&f.shares, "errors", "", "`SHARES` of calls that fail, by status, such as 503=0.01,429=0.02")
	set.StringVar(&f.quota, "quota", "", "quota of `CALLS` in an interval, such as 300/1m; further calls get 429")
	set.StringVar(&f.outage, "outage", "", "fail every call: "+outageNames())
	set.IntVar(&f.refuse, "refuse", 0, "reject every call with this `STATUS`")
	set.BoolVar(&f.noBatch, "no-batch", false, "do not support HTTP batches")
	set.StringVar(&f.data, "data", "", "store all data in this `DIR` (default: in memory)")
	set.StringVar(&f.hosts, "hosts", "", "comma-separated host `NAMES` that may request the page, besides addresses and localhost")
	set.StringVar(&f.seed, "seed", "", "load tenants, companies and jobs from this `FILE` at the start")
	set.IntVar(&f.keep, "keep", 1000, "number of accepted events to remember; 0 remembers none")
	return f
}

// Open opens the emulator. Its errors name the flag whose value is wrong.
func (f *Flags) Open() (*emulator.Emulator, error) {
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	e, err := emulator.Open(o)
	if err == nil {
		return e, nil
	}
	if f.seed != "" && strings.Contains(err.Error(), f.seed) {
		return nil, fmt.Errorf("--seed: %w", err)
	}
	return nil, fmt.Errorf("--data: %w", err)
}

func (f *Flags) options() (emulator.Options, error) {
	o := emulator.Options{Keep: f.keep, DataDir: f.data, SeedFile: f.seed, Hosts: strings.Split(f.hosts, ",")}
	if f.keep == 0 {
		o.Keep = -1 // the package's value for none
	}
	o.Faults = emulator.Faults{Latency: f.latency, Jitter: f.jitter, NoBatch: f.noBatch}
	var err error
	if o.Faults.ErrorShares, err = parseShares(f.shares); err != nil {
		return o, fmt.Errorf("--errors: %w", err)
	}
	if o.Faults.Quota, err = parseQuota(f.quota); err != nil {
		return o, fmt.Errorf("--quota: %w", err)
	}
	switch {
	case f.latency < 0:
		return o, fmt.Errorf("--latency: %v: expected 0 or more", f.latency)
	case f.jitter < 0:
		return o, fmt.Errorf("--jitter: %v: expected 0 or more", f.jitter)
	case f.keep < 0:
		return o, fmt.Errorf("--keep: %d: expected 0 or more", f.keep)
	case f.refuse != 0 && (f.refuse < 300 || f.refuse > 599):
		return o, fmt.Errorf("--refuse: %d: expected an HTTP status from 300 to 599", f.refuse)
	case f.refuse != 0:
		o.Faults.All = emulator.Refuse(f.refuse, "")
	}
	if f.outage != "" {
		if o.Faults.All = outages()[f.outage]; o.Faults.All == nil {
			return o, fmt.Errorf("--outage: %q: expected one of %s", f.outage, outageNames())
		}
	}
	return o, nil
}

// outages returns the faults of --outage by name.
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
			return nil, fmt.Errorf("%q: expected STATUS=SHARE with a share from 0 to 1, such as 503=0.01", item)
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
		return emulator.Quota{}, fmt.Errorf("%q: expected CALLS/TIME, such as 300/1m", s)
	}
	if per != "" && strings.Trim(per, "smh") == "" {
		per = "1" + per // 5/s
	}
	d, err := time.ParseDuration(per)
	if err != nil || d <= 0 {
		return emulator.Quota{}, fmt.Errorf("%q: expected CALLS/TIME, such as 300/1m", s)
	}
	return emulator.Quota{Limit: n, Window: d}, nil
}
