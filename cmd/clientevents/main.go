// Command clientevents carries job seekers' events from Kafka to Cloud Talent
// Solution.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameSignal is for how long further signals are taken for the first one again:
// timeout(1), and a terminal with a wrapper in between, send it to the process
// and then to its group.
const sameSignal = time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks to finish; another ends the process, but for those that
	// come along with the first.
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	code := Main(ctx, os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ()})
	stop()
	os.Exit(code)
}
