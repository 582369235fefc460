package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// floorConnections are the requests that the floor has in flight.
const floorConnections = 64

// serveFloor is the floor: a bare loop that reads events from memory and posts
// them, which no pipeline can be faster than. It prints the CPU time of the loop
// alone, without that of making up the events, in nanoseconds.
func serveFloor(args []string) error {
	flags := flag.NewFlagSet("floor", flag.ContinueOnError)
	url := flags.String("url", "", "base URL")
	n := flags.Int("n", 0, "how many records to take the events of")
	batch := flags.Int("batch", 1, "events a request")
	connections := flags.Int("connections", floorConnections, "requests in flight")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var events [][]byte
	now := time.Now()
	for i := range *n {
		if kindOf(i) == good {
			events = append(events, appendRecord(nil, i, now))
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = *connections, *connections
	client := &http.Client{Transport: transport}
	before := cpuTime()
	var next atomic.Int64
	var loops sync.WaitGroup
	failed := make(chan error, *connections)
	for range *connections {
		loops.Go(func() {
			for {
				from := int(next.Add(int64(*batch))) - *batch
				if from >= len(events) {
					return
				}
				some := events[from:min(len(events), from+*batch)]
				if err := postEvents(client, *url, *batch, some); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	loops.Wait()
	fmt.Println(int64(cpuTime() - before))
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func appendParts(b []byte, events [][]byte) []byte {
	for i, e := range events {
		b = append(b, "--part\r\nContent-Type: application/http\r\nContent-ID: <floor+"...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, ">\r\n\r\nPOST "+createPath+" HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(e)), 10)
		b = append(b, "\r\n\r\n"...)
		b = append(append(b, e...), "\r\n"...)
	}
	return append(b, "--part--\r\n"...)
}

func post(client *http.Client, url, kind string, body []byte) error {
	resp, err := client.Post(url, kind, bytes.NewReader(body)) //nolint:noctx // it is as bare as can be
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// cpuTime is what the process has used so far, in user and kernel mode.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
