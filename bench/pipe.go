package main

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
)

// pipe is the floor below saturation: it posts what it fetches from the broker, and does
// nothing else. It has no group, checks nothing and remembers nothing.
var pipe = contender{
	name: "bare pipe", batches: true,
	command: func(w *world, s setup) (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return exec.Command(self, "pipe", "-brokers", w.brokers, "-topic", s.topic, "-url", s.url, "-batch", strconv.Itoa(s.batch)), nil
	},
}

// servePipe runs the pipe until SIGTERM.
func servePipe(args []string) error {
	flags := flag.NewFlagSet("pipe", flag.ContinueOnError)
	brokers := flags.String("brokers", "", "addresses, separated by commas")
	topic := flags.String("topic", "", "the topic with the events")
	url := flags.String("url", "", "base URL")
	batch := flags.Int("batch", 1, "events a request, at most")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	reader, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*brokers, ",")...),
		kgo.ConsumeTopics(*topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	defer reader.Close()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = floorConnections, floorConnections
	client := &http.Client{Transport: transport}
	requests, failed := make(chan [][]byte), make(chan error, 1)
	var posters sync.WaitGroup
	for range floorConnections {
		posters.Go(func() {
			for events := range requests {
				if err := postEvents(client, *url, *batch, events); err != nil {
					select {
					case failed <- err:
						stop()
					default:
					}
				}
			}
		})
	}
	for ctx.Err() == nil {
		var events [][]byte
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { events = append(events, r.Value) })
		for some := range slices.Chunk(events, *batch) {
			requests <- some
		}
	}
	close(requests)
	posters.Wait()
	select {
	case err := <-failed:
		return errors.Join(errors.New("post"), err)
	default:
		return nil
	}
}

// postEvents posts one event, or a batch if there may be several in a request.
func postEvents(client *http.Client, url string, batch int, events [][]byte) error {
	if batch == 1 {
		return post(client, url+createPath, "application/json", events[0])
	}
	return post(client, url+"/batch", "multipart/mixed; boundary=part", appendParts(nil, events))
}
