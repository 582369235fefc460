package emulatorgrpc_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/talent/apiv4/talentpb"
	"github.com/clientevents/clientevents/emulator"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// requests returns the number of requests over each transport: EMULATOR_REQUESTS, which
// `make emulator-million` sets to a million.
func requests(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("EMULATOR_REQUESTS"), "20000"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// createEvent sends the i-th event of a run.
type createEvent func(ctx context.Context, i int) error

// transports open a client of an emulator. Each sends the same journeys: four events of
// one request about one job.
var transports = []struct {
	name string
	open func(t *testing.T, addr string) createEvent
}{
	{"REST v3", func(t *testing.T, addr string) createEvent { return createOverREST(t, addr, "v3", "projects/p") }},
	{"REST v4", func(t *testing.T, addr string) createEvent {
		return createOverREST(t, addr, "v4", "projects/p/tenants/t")
	}},
	{"gRPC v4", createOverGRPC},
}

var journey = []pb.JobEvent_JobEventType{
	pb.JobEvent_IMPRESSION, pb.JobEvent_VIEW, pb.JobEvent_APPLICATION_START, pb.JobEvent_APPLICATION_FINISH,
}

func createOverREST(t *testing.T, addr, version, parent string) createEvent {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	t.Cleanup(client.CloseIdleConnections)
	form := `{"eventId":"e%d","requestId":"r%d","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"%s","jobs":["%s/jobs/%d"]}}`
	if version == "v3" {
		form = `{"clientEvent":` + form + `}`
	}
	return func(ctx context.Context, i int) error {
		body := fmt.Sprintf(form, i, i/len(journey), journey[i%len(journey)], parent, i/len(journey))
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/"+version+"/"+parent+"/clientEvents", strings.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			err = errors.Join(err, errors.New(resp.Status))
		}
		return errors.Join(err, resp.Body.Close())
	}
}

func createOverGRPC(t *testing.T, addr string) createEvent {
	t.Helper()
	client := pb.NewEventServiceClient(dial(t, addr, insecure.NewCredentials()))
	return func(ctx context.Context, i int) error {
		_, err := client.CreateClientEvent(ctx, &pb.CreateClientEventRequest{Parent: "projects/p/tenants/t", ClientEvent: &pb.ClientEvent{
			EventId: fmt.Sprint("e", i), RequestId: fmt.Sprint("r", i/len(journey)), CreateTime: timestamppb.Now(),
			Event: &pb.ClientEvent_JobEvent{JobEvent: &pb.JobEvent{
				Type: journey[i%len(journey)], Jobs: []string{fmt.Sprint("projects/p/tenants/t/jobs/", i/len(journey))},
			}},
		}})
		return err
	}
}

// senders is the number of requests in flight.
const senders = 8

// send sends the events from one number up to another.
func send(t *testing.T, create createEvent, from, to int) {
	t.Helper()
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := from + s; i < to; i += senders {
				if err := create(t.Context(), i); err != nil {
					t.Errorf("event %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// liveHeap returns the bytes that are in use after a collection.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first one empties sync.Pools only into their victims
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The emulator's memory is bounded. In the second half of a run it grows only by the
// hashes of event IDs and by journeys, up to their limits. A kept event takes 700 bytes.
func TestMemoryIsConstant(t *testing.T) {
	const fixed, perRequest = 3 << 20, 64 // bytes
	n := requests(t)
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			emu, addr := serve(t, emulator.Options{})
			create := transport.open(t, addr)
			began := time.Now()
			send(t, create, 0, n/2)
			half := liveHeap()
			send(t, create, n/2, n)
			whole := liveHeap()
			t.Logf("%d requests in %.1f s: %.1f MB in use after half of them, %.1f MB after all", n, time.Since(began).Seconds(), mega(half), mega(whole))
			if limit := int64(fixed + perRequest*n/2); whole-half > limit {
				t.Errorf("%d requests took %d bytes of memory, want at most %d", n/2, whole-half, limit)
			}
			if s := emu.Stats(); s.Accepted != int64(n) || s.Duplicates != 0 {
				t.Errorf("%d events were accepted, %d of them duplicates, want %d and 0", s.Accepted, s.Duplicates, n)
			}
			runtime.KeepAlive(emu)
		})
	}
}

func mega(bytes int64) float64 { return float64(bytes) / 1e6 }
