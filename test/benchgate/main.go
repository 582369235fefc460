// Command benchgate compares what the stages of the program allocate for an event with
// what they allocated in the last release. Allocations are counted, so that a noisy
// machine changes nothing; a benchmark's time is not compared.
//
//	go run ./test/benchgate           # fails where a stage allocates more
//	go run ./test/benchgate -update   # writes what is allocated now
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// stages are the benchmarks that are compared, by package.
var stages = []struct{ pkg, benchmarks string }{
	{"./event", "Decode|AppendRequest|Content"},
	{"./input", "Decode"},
	{"./consumer/partition", "^BenchmarkPartition$|Tracker"},
	{"./consumer/kafkalog", "Decode/uncompressed|Decode/snappy|Encode|Append"},
	{"./batcher", "HandOff"},
	{"./reporter/talent", "Single|BatchEncode|BatchParse"},
}

const (
	// file has what the last release allocates: name, allocations and bytes for each
	// iteration.
	file = "test/benchgate/allocations.txt"
	// Of so many runs the one that allocates least counts: memory that is used again
	// may have been collected in the others.
	runs, iterations = 3, "300x"
	// A stage may allocate by a share and a number more than the last release, which is
	// more than two runs differ.
	moreAllocs, allocsMore = 0.1, 1
	moreBytes, bytesMore   = 0.3, 1024
)

// cost is what one iteration allocates.
type cost struct{ allocs, bytes float64 }

func main() {
	update := flag.Bool("update", false, "write what is allocated now, for a release")
	flag.Parse()
	if err := run(*update); err != nil {
		fmt.Fprintln(os.Stderr, "benchgate:", err)
		os.Exit(1)
	}
}

func run(update bool) error {
	now := map[string]cost{}
	for _, s := range stages {
		if err := measure(context.Background(), s.pkg, s.benchmarks, now); err != nil {
			return err
		}
	}
	if update {
		return os.WriteFile(file, format(now), 0o644)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, err := parse(text)
	if err != nil {
		return err
	}
	worse := compare(before, now)
	for _, line := range worse {
		fmt.Println(line)
	}
	if len(worse) > 0 {
		return fmt.Errorf("%d of %d benchmarks differ from %s; correct them, or run `make bench-gate ARGS=-update` and say in the commit why it is worth it", len(worse), len(now), file)
	}
	fmt.Printf("%d benchmarks allocate no more than in the last release\n", len(now))
	return nil
}

// measure adds the costs of a package's benchmarks.
func measure(ctx context.Context, pkg, benchmarks string, into map[string]cost) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", benchmarks, "-benchmem", "-benchtime", iterations, "-count", strconv.Itoa(runs), pkg)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("benchmarks of %s: %w\n%s", pkg, err, out)
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if name, c, ok := parseLine(lines.Text()); ok {
			name = strings.TrimPrefix(pkg, "./") + " " + name
			if least, seen := into[name]; seen {
				c = cost{min(c.allocs, least.allocs), min(c.bytes, least.bytes)}
			}
			into[name] = c
		}
	}
	return nil
}

// parseLine reads a line of go test -benchmem. The name loses the number of processors.
func parseLine(line string) (name string, c cost, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return "", c, false
	}
	for i, unit := range fields {
		switch unit {
		case "allocs/op":
			c.allocs, _ = strconv.ParseFloat(fields[i-1], 64)
			ok = true
		case "B/op":
			c.bytes, _ = strconv.ParseFloat(fields[i-1], 64)
		}
	}
	name = strings.TrimPrefix(fields[0], "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		name = name[:i]
	}
	return name, c, ok
}

func format(costs map[string]cost) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(costs)) {
		fmt.Fprintf(&b, "%s %.0f allocs %.0f bytes\n", name, costs[name].allocs, costs[name].bytes)
	}
	return b.Bytes()
}

func parse(text []byte) (map[string]cost, error) {
	costs := map[string]cost{}
	for line := range strings.Lines(string(text)) {
		var pkg, name string
		var c cost
		if _, err := fmt.Sscanf(line, "%s %s %f allocs %f bytes", &pkg, &name, &c.allocs, &c.bytes); err != nil {
			return nil, fmt.Errorf("%s: line %q: expected `package benchmark N allocs N bytes`: %w", file, strings.TrimSpace(line), err)
		}
		costs[pkg+" "+name] = c
	}
	return costs, nil
}

// compare returns a line for each benchmark that allocates more than before, or that
// only one of them has.
func compare(before, now map[string]cost) (worse []string) {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		was, known := before[name]
		c := now[name]
		switch {
		case !known:
			worse = append(worse, name+": new")
		case c.allocs > was.allocs*(1+moreAllocs)+allocsMore:
			worse = append(worse, fmt.Sprintf("%s: %.0f allocations, before %.0f", name, c.allocs, was.allocs))
		case c.bytes > was.bytes*(1+moreBytes)+bytesMore:
			worse = append(worse, fmt.Sprintf("%s: %.0f bytes, before %.0f", name, c.bytes, was.bytes))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, known := now[name]; !known {
			worse = append(worse, name+": gone")
		}
	}
	return worse
}
