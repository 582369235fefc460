// Command bench drains one topic with this program, with a bare loop and with
// what a user would take instead, turn and turn about, and says what each costs.
//
//	go run . -update ../docs/performance.md
//
// The broker, the sink that stands for the API, and each contender are processes
// of their own, so that what is measured of a contender is its own. All share
// one machine: ratios are the result, and not what is in front of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the harness is told on its command line.
type options struct {
	parts    string
	rounds   int
	product  string
	broker   string
	update   string
	plots    string
	baseline string
	profile  string
	keep     bool
	quick    bool // build without the profile
	alone    bool // without the alternatives
	peers    string
	most     int
	grows    string
	nodes    int
	beside   int
	budget   time.Duration
}

func main() {
	if len(os.Args) > 1 {
		if serve, ok := services[os.Args[1]]; ok {
			if err := serve(os.Args[2:]); err != nil {
				fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[1], err)
				os.Exit(1)
			}
			return
		}
	}
	var o options
	flag.StringVar(&o.parts, "parts", "drain,slow,pace,faults", "what to measure: drain, slow (an API with a latency), pace (below saturation), faults, links, scale, profile, versus, single")
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is measured; the median counts")
	flag.StringVar(&o.product, "product", "", "the program's binary; empty builds it")
	flag.StringVar(&o.broker, "broker", "embedded", "embedded or kafka (Apache Kafka, needs Java 17)")
	flag.StringVar(&o.update, "update", "", "a Markdown file whose sections between <!-- bench:PART --> and <!-- end of bench --> are rewritten")
	flag.StringVar(&o.plots, "plots", "", "a folder for the plots of -parts drain and scale, as SVG")
	flag.StringVar(&o.baseline, "baseline", "", "another binary of the program, for -parts versus, or several separated by commas, for -parts single or links")
	flag.StringVar(&o.profile, "profile", "release.pgo", "where -parts profile writes the CPU profile")
	flag.BoolVar(&o.keep, "keep", false, "with -parts profile, write the profile of each mode too")
	flag.BoolVar(&o.quick, "quick", false, "build the program without profile-guided optimisation")
	flag.BoolVar(&o.alone, "alone", false, "measure the program and the bare loop only, without the alternatives")
	flag.StringVar(&o.peers, "peers", "", "which alternatives to measure, by the beginnings of their names, separated by commas; empty for all")
	flag.IntVar(&o.beside, "beside", 3, "how many trials of -parts faults run beside each other")
	flag.IntVar(&o.most, "most", 20_000_000, "how far -parts scale goes, in ids")
	flag.StringVar(&o.grows, "grows", "", "which of what grows -parts scale measures, for example partitions,replicas; empty is all")
	flag.IntVar(&o.nodes, "nodes", 1, "how many brokers the embedded cluster has")
	flag.DurationVar(&o.budget, "budget", 2*time.Hour, "when to give up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, o.budget)
	err := run(ctx, o)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// services are the harness's own processes.
var services = map[string]func(args []string) error{
	"broker":   serveBroker,
	"sink":     serveSink,
	"floor":    serveFloor,
	"pipe":     servePipe,
	"profiled": serveProfiled,
}

// part is something that can be measured; it returns the Markdown that says
// the result.
type part func(context.Context, *world) (string, error)

var parts = map[string]part{
	"drain":   measureDrain,
	"slow":    measureSlow,
	"pace":    measurePace,
	"faults":  measureFaults,
	"links":   measureLinks,
	"scale":   measureScale,
	"profile": takeProfile,
	"versus":  measureVersus,
	"single":  measureSingle,
}

func run(ctx context.Context, o options) error {
	names := strings.Split(o.parts, ",")
	if i := slices.IndexFunc(names, func(n string) bool { return parts[n] == nil }); i >= 0 {
		return fmt.Errorf("-parts %s: want some of drain, slow, pace, faults, links, scale, profile, versus, single", names[i])
	}
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	began := time.Now()
	for _, name := range names {
		text, err := parts[name](ctx, w)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if text == "" {
			continue
		}
		text = w.provenance(name) + "\n\n" + text
		fmt.Printf("\n%s\n", text)
		if o.update != "" {
			if err := updateSection(o.update, name, text); err != nil {
				return err
			}
		}
	}
	fmt.Printf("bench: took %s\n", time.Since(began).Round(time.Second))
	return nil
}
