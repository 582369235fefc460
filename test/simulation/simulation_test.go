// Package simulation runs the whole pipeline through seeded misfortune, in a
// bubble in which time is free and the network is in memory: the real consumer,
// batcher and reporter, an in-process Kafka, and the emulator. One oracle judges
// all runs.
//
// A failing run prints its seed; run it again with
//
//	go test ./test/simulation -run 'TestKills/seed=17$'
package simulation

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/pipeline"
	"github.com/clientevents/clientevents/reporter"
	"github.com/clientevents/clientevents/test/kafkatest"
)

var (
	seeds = flag.Int("seeds", 2, "how many seeds each kind of misfortune is run with; three quarters of them with -short")
	all   = flag.Bool("all", false, "run each combination of those kinds that have one seed, which `make simulate` does")
	first = flag.Uint64("first", 1, "the first seed")
	size  = flag.Int("records", 1200, "how many records each run publishes")
)

const (
	topic = "events"
	// The internal topic, with input.rekey.
	internalTopic = "events.by-request"
	group         = "group"
	apiAddress    = "127.0.0.1:8080"
	// The least that brokers take by default.
	sessionTimeout = 6 * time.Second
	// A batch and how many are in flight: what a kill may repeat.
	batchSize   = 20
	concurrency = 4
	inFlight    = (batchSize + 1) * concurrency
)

// world is one run.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	kafka   *kafkatest.Cluster
	network *kfake.VirtualNetwork
	api     *emulator.Emulator
	log     *slog.Logger
	output  *lockedBuffer

	records  []journey.Record
	replicas []*replica
	kills    int
	stops    int

	login       func(dialFunc) dialFunc           // nil for no login at the brokers
	decoder     func(*replica) consumer.Decoder   // nil for events in JSON
	tokens      func(*replica) *googleauth.Keeper // nil for no tokens
	byArrival   bool                              // report.priority is arrival
	rekey       bool                              // input.rekey is set
	planned     bool                              // all changes are, and no write fails: not even a dead letter is repeated
	types       map[string]event.Type
	timeout     time.Duration // of one request to the API
	published   int           // so many of the records are
	portionFrom int           // what a test remembers of a portion

	// guard answers a request itself where it says false; nil lets all pass.
	guard func(http.ResponseWriter, *http.Request) bool

	doom atomic.Pointer[doom]
}

// doom is a replica that dies when the API has accepted so many more events:
// after the API has them, and before anybody knows.
type doom struct {
	left   atomic.Int32
	victim *replica
}

func (w *world) onAccept(emulator.Accepted) {
	if d := w.doom.Load(); d != nil && d.left.Add(-1) == 0 {
		d.victim.die()
	}
}

// lockedBuffer keeps the log until it is known whether anybody wants it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func newWorld(t *testing.T, seed uint64, mix journey.Mix, opts ...kfake.Opt) *world {
	rng := rand.New(rand.NewPCG(seed, 0x73696d))
	output := &lockedBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", tail(output.b.String(), 20_000))
		}
	})
	w := &world{t: t, timeout: 5 * time.Second, rng: rng, output: output, log: slog.New(slog.NewTextHandler(output, nil))}
	w.network = new(kfake.VirtualNetwork)
	w.kafka = kafkatest.Bubble(t, opts...)
	w.kafka.CreateTopic(t, topic, 1+rng.IntN(4), nil)
	w.api = emulator.New(emulator.Options{KeepAll: true, Seed: seed, OnAccept: w.onAccept, Faults: emulator.Faults{Latency: 5 * time.Millisecond, Jitter: 10 * time.Millisecond}})
	l, err := w.network.Listen("tcp", apiAddress)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(w.serveAPI)}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	g := journey.New(journey.Options{Seed: seed, Version: event.V3, Start: time.Now()})
	w.records = slices.Collect(g.Mixed(mix, *size))
	return w
}

// serveAPI is the API behind what a test puts before it.
func (w *world) serveAPI(rw http.ResponseWriter, r *http.Request) {
	if w.guard != nil && !w.guard(rw, r) {
		return
	}
	w.api.ServeHTTP(rw, r)
}

// replica is a pipeline with a network that can be cut.
type replica struct {
	w        *world
	name     string
	pipeline *pipeline.Pipeline
	cancel   context.CancelFunc
	done     chan error
	dead     bool

	mu        sync.Mutex
	conns     map[net.Conn]string // and where they lead
	cut       bool
	isolated  bool // from the brokers
	transport *kafka.Transport
}

var errCut = errors.New("the network is cut")

const (
	kafkaNetwork = "kafka"
	apiNetwork   = "api"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dial connects through a network that ends with the replica.
func (r *replica) dial(kind string, to dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := to(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.cut || r.isolated && kind == kafkaNetwork {
			conn.Close()
			return nil, errCut
		}
		r.conns[conn] = kind
		return &trackedConn{conn, r}, nil
	}
}

// trackedConn is a connection that breaks when its replica dies.
type trackedConn struct {
	net.Conn
	r *replica
}

func (c *trackedConn) Close() error {
	c.r.mu.Lock()
	delete(c.r.conns, c.Conn)
	c.r.mu.Unlock()
	return c.Conn.Close()
}

func (w *world) start() *replica {
	r := &replica{w: w, name: fmt.Sprint("replica-", len(w.replicas)), done: make(chan error, 1), conns: map[net.Conn]string{}}
	dial := r.dial(kafkaNetwork, w.kafka.DialContext)
	if w.login != nil {
		dial = w.login(dial)
	}
	r.transport = &kafka.Transport{
		Dial: dial, MetadataTTL: time.Second,
		MetadataTopics: []string{topic, topic + ".dead-letter", topic + ".reported"},
	}
	byRequest := ""
	if w.rekey {
		byRequest = internalTopic
		r.transport.MetadataTopics = append(r.transport.MetadataTopics, byRequest)
	}
	log := w.log.With("replica", r.name)
	var decoder consumer.Decoder
	if w.decoder != nil {
		decoder = w.decoder(r)
	}
	var tokens *googleauth.Keeper
	if w.tokens != nil {
		tokens = w.tokens(r)
	}
	p, err := pipeline.New(pipeline.Config{
		Consumer: consumer.Config{
			Brokers: w.kafka.Brokers, Topic: topic, Group: group,
			DeadLetterTopic: topic + ".dead-letter", StateTopic: topic + ".reported", ByRequest: byRequest,
			Version:        event.V3,
			Decoder:        decoder,
			Rules:          consumer.Rules{Window: 24 * time.Hour, ParentsRequired: true, ParentsWait: 20 * time.Second, ByValue: !w.byArrival},
			SessionTimeout: sessionTimeout,
			Transport:      r.transport,
			Logger:         log,
		},
		Batch: batcher.Config{Size: batchSize, Linger: 5 * time.Millisecond, Concurrency: concurrency},
		Reporter: reporter.Config{
			Endpoint: "http://" + apiAddress, Version: event.V3, Parent: "projects/demo",
			Concurrency: concurrency, Timeout: w.timeout, Dial: r.dial(apiNetwork, w.network.DialContext), Logger: log,
			Tokens: tokens,
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	r.pipeline = p
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() {
		r.done <- p.Run(ctx)
		r.transport.CloseIdleConnections()
		if tokens != nil {
			tokens.Close()
		}
	}()
	w.replicas = append(w.replicas, r)
	return r
}

// kill ends a replica as SIGKILL would: what it sent may arrive, and nothing
// comes after.
func (r *replica) kill() {
	r.w.kills++
	r.dead = true
	r.die()
}

// condemn has a replica die while the events of the next portion are on their
// way: the API takes some, and their answers come to nobody.
func (w *world) condemn(r *replica) {
	d := &doom{victim: r}
	d.left.Store(int32(1 + w.rng.IntN(2*inFlight)))
	w.doom.Store(d)
}

func (r *replica) die() {
	r.w.log.Info("KILL", "replica", r.name)
	r.mu.Lock()
	r.cut = true
	for conn := range r.conns {
		conn.Close()
	}
	r.mu.Unlock()
	// Its goroutines have to end, too; without a network they do nothing more.
	r.cancel()
}

// member reports whether the replica has joined. The embedded broker never forgets
// a member whose connection breaks while it waits to join, which a real one
// does, so replicas don't die in that moment here; the chaos run with real
// processes and a real broker has them do so.
func (r *replica) member() bool {
	c := r.pipeline.Consumer()
	if first := c.First(); first != nil && first.Readiness().State == consumer.Joining {
		return false
	}
	return c.Readiness().State != consumer.Joining
}

// stop ends a replica as SIGTERM does, and waits for it.
func (r *replica) stop() {
	if r.dead {
		return
	}
	r.w.stops++
	r.w.log.Info("STOP", "replica", r.name)
	r.dead = true
	r.cancel()
	if err := <-r.done; err != nil {
		r.w.t.Errorf("%s: %v", r.name, err)
	}
	r.done <- nil
}

func (w *world) living() []*replica {
	return slices.DeleteFunc(slices.Clone(w.replicas), func(r *replica) bool { return r.dead })
}

func (w *world) any() *replica {
	living := w.living()
	if len(living) == 0 {
		return nil
	}
	return living[w.rng.IntN(len(living))]
}

// publish publishes all records in some portions over about a minute.
func (w *world) publish(between func()) {
	for portion := range slices.Chunk(w.records, max(1, len(w.records)/12)) {
		var messages []kafka.Message
		for _, r := range portion {
			messages = append(messages, kafka.Message{Key: r.Key, Value: r.Value})
		}
		w.kafka.ProduceByKey(w.t, topic, messages...)
		w.published += len(portion)
		between()
		time.Sleep(time.Duration(w.rng.IntN(6000)) * time.Millisecond)
	}
}

// settle lets a healthy replica finish, and ends everything.
func (w *world) settle() {
	w.api.SetFaults(emulator.Faults{Latency: 5 * time.Millisecond})
	if len(w.living()) == 0 {
		w.start()
	}
	limit := time.Now().Add(30 * time.Minute)
	for !w.finished() {
		if time.Now().After(limit) {
			w.t.Errorf("not finished: committed %v of %v", w.kafka.CommittedOffsets(w.t, group, topic), w.kafka.EndOffsets(w.t, topic))
			break
		}
		time.Sleep(time.Second)
	}
	for _, r := range w.living() {
		r.stop()
	}
	for _, r := range w.replicas {
		<-r.done
		if inFlight, pending := r.pipeline.InFlight(), r.pipeline.Pending(); inFlight != 0 || pending != 0 {
			w.t.Errorf("%s ended with %d events in flight and %d pending", r.name, inFlight, pending)
		}
	}
}

func (w *world) finished() bool {
	done := func(group, topic string) bool {
		return slices.Equal(w.kafka.CommittedOffsets(w.t, group, topic), w.kafka.EndOffsets(w.t, topic))
	}
	return done(group, topic) && (!w.rekey || done(consumer.RekeyedGroup(group), internalTopic))
}

// judge is the oracle: it knows what ought to have become of each record.
func (w *world) judge(mayRepeat int) {
	t := w.t
	t.Helper()
	firstAt, repeated := map[string]int{}, 0
	for i, a := range w.api.Events() {
		if _, before := firstAt[a.Event.EventID]; before {
			repeated++
			continue
		}
		firstAt[a.Event.EventID] = i
	}
	letters := map[string][]string{}
	for _, l := range w.kafka.ReadAll(t, topic+".dead-letter") {
		for _, h := range l.Headers {
			if h.Key == consumer.HeaderReason {
				letters[string(l.Key)+"\x00"+string(l.Value)] = append(letters[string(l.Key)+"\x00"+string(l.Value)], string(h.Value))
			}
		}
	}
	lost, alike := 0, map[string]int{} // records with the same key and value
	for i, r := range w.records {
		switch r.Expect {
		case "reported":
			at, ok := firstAt[r.Event.ID]
			if !ok {
				lost++
				t.Errorf("LOST: record %d, event %s of type %s", i, r.Event.ID, r.Event.Type)
			}
			if parent := r.Event.ParentID; ok && parent != "" {
				if p, ok := firstAt[parent]; !ok || p > at {
					t.Errorf("record %d was reported before its parent", i)
				}
			}
		case "dead_letter":
			id := string(r.Key) + "\x00" + string(r.Value)
			reasons := letters[id]
			if alike[id]++; len(reasons) < alike[id] {
				lost++
				t.Errorf("LOST: record %d is no dead letter: want %s", i, r.Reason)
			}
			for _, reason := range reasons {
				if reason != string(r.Reason) {
					t.Errorf("record %d is a dead letter for %s: want %s", i, reason, r.Reason)
				}
			}
		}
	}
	again := 0 // dead letters
	for id, n := range alike {
		again += max(0, len(letters[id])-n)
		delete(letters, id)
	}
	for _, reasons := range letters {
		t.Errorf("a dead letter that should not be: %v", reasons)
	}
	if repeated > mayRepeat {
		t.Errorf("%d events were reported twice: at most %d may be", repeated, mayRepeat)
	}
	if again > 0 && w.planned {
		t.Errorf("%d dead letters were written twice", again)
	}
	t.Logf("%d records, %d lost, %d repeated (at most %d), %d dead letters twice, %d kills, %d stops", len(w.records), lost, repeated, mayRepeat, again, w.kills, w.stops)
	totals.add(len(w.records), lost, repeated, w.kills, w.stops)
}

// totals are of all runs of the process, for the last line.
var totals tally

type tally struct {
	mu                                            sync.Mutex
	runs, records, lost, repeated, kills, planned int
}

func (y *tally) add(records, lost, repeated, kills, planned int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.runs++
	y.records += records
	y.lost += lost
	y.repeated += repeated
	y.kills += kills
	y.planned += planned
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if totals.runs > 0 {
		fmt.Printf("simulated %d runs: %d records, %d crashes, %d planned stops; %d lost, %d repeated (at most %d in flight at each crash)\n",
			totals.runs, totals.records, totals.kills, totals.planned, totals.lost, totals.repeated, inFlight)
	}
	os.Exit(code)
}

// traffic is what is published: everything that goes wrong in it.
var traffic = journey.Mix{Duplicates: 0.02, Faults: 0.02, Late: 0.01, Tombstones: true}

// each runs a kind of misfortune with all seeds.
func each(t *testing.T, traffic journey.Mix, run func(w *world)) {
	t.Helper()
	withSeeds(t, *seeds, traffic, run)
}

// some runs a kind of misfortune in which the seed decides little with a third of
// the seeds.
func some(t *testing.T, traffic journey.Mix, run func(w *world)) {
	t.Helper()
	withSeeds(t, max(1, *seeds/3), traffic, run)
}

func withSeeds(t *testing.T, n int, traffic journey.Mix, run func(w *world), opts ...kfake.Opt) {
	t.Helper()
	if testing.Short() {
		n = max(1, n*3/4)
	}
	for seed := *first; seed < *first+uint64(n); seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, seed, traffic, opts...)
				run(w)
			})
		})
	}
}

// seldom skips a combination that only -all runs.
func seldom(t *testing.T, is bool) {
	t.Helper()
	if is && !*all {
		t.Skip("not run without -all, with which `make simulate` runs it")
	}
}

// failing is an error that a broker answers to a request.
type failing struct {
	request kmsg.Key
	err     *kerr.Error
}

// chosen are the pairs that are run: without -all each error once and each request
// once, and with -short just the latter.
func chosen(pairs []failing) []failing {
	if *all {
		return pairs
	}
	errs, requests := map[*kerr.Error]bool{}, map[kmsg.Key]bool{}
	return slices.DeleteFunc(slices.Clone(pairs), func(p failing) bool {
		known := requests[p.request] && (errs[p.err] || testing.Short())
		errs[p.err], requests[p.request] = true, true
		return known
	})
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + s[strings.IndexByte(s[len(s)-n:], '\n')+len(s)-n:]
}

// TestPlannedChanges: replicas come and go in order, and nothing is repeated.
func TestPlannedChanges(t *testing.T) {
	t.Parallel()
	each(t, traffic, (*world).changeReplicas)
}

// changeReplicas starts and stops replicas while records are published.
func (w *world) changeReplicas() {
	w.planned = true
	w.start()
	w.publish(func() {
		switch w.rng.IntN(3) {
		case 0:
			w.start()
		case 1:
			if len(w.living()) > 1 || w.rng.IntN(2) == 0 {
				if r := w.any(); r != nil {
					r.stop()
				}
			}
		}
	})
	w.settle()
	w.judge(0)
}

// TestKills: replicas die, and at most what was in flight is repeated.
func TestKills(t *testing.T) {
	t.Parallel()
	each(t, traffic, (*world).killReplicas)
}

// killReplicas kills replicas between any two steps while records are published.
func (w *world) killReplicas() {
	w.start()
	w.publish(func() {
		time.Sleep(time.Duration(w.rng.IntN(400)) * time.Millisecond)
		if d := w.doom.Swap(nil); d != nil {
			d.victim.kill()
		}
		if r := w.any(); r != nil && r.member() {
			switch w.rng.IntN(3) {
			case 0:
				r.kill()
			case 1:
				w.condemn(r)
			}
		}
		if len(w.living()) == 0 || w.rng.IntN(4) == 0 {
			w.start()
		}
	})
	if d := w.doom.Swap(nil); d != nil {
		d.victim.kill()
	}
	w.settle()
	w.judge(w.kills * inFlight)
}

// TestAPIFaults: the API fails in every way that leaves no doubt whether an
// event was taken, and nothing is repeated.
func TestAPIFaults(t *testing.T) {
	t.Parallel()
	// A parent that is published long after its child is rightly given up.
	traffic := traffic
	traffic.Late = 0
	each(t, traffic, func(w *world) {
		w.start()
		healthy := emulator.Faults{Latency: 5 * time.Millisecond}
		w.publish(func() {
			f := healthy
			switch w.rng.IntN(6) {
			case 0:
				f.All = emulator.Outage()
			case 1:
				f.All = &emulator.Fault{Cut: emulator.CutConnection}
			case 2:
				f.ErrorShares = map[int]float64{500: 0.1, 503: 0.1, 429: 0.1, 401: 0.01}
			case 3:
				f.Quota = emulator.Quota{Limit: 40, Window: time.Second}
			case 4:
				f.NoBatch = true
			}
			w.api.SetFaults(f)
			if w.rng.IntN(4) == 0 {
				time.Sleep(15 * time.Minute) // many times the longest backoff
			}
		})
		w.settle()
		w.judge(0)
	})
}

// TestStopWhileTheAPIHangs: a drain that uses up its time is no crash. What was
// on its way was not taken, so nothing is repeated, and the next owner has no
// reason to look for a record that kills.
func TestStopWhileTheAPIHangs(t *testing.T) {
	t.Parallel()
	each(t, traffic, func(w *world) {
		w.timeout = time.Minute // longer than a drain lasts
		r := w.start()
		hang := emulator.Faults{All: &emulator.Fault{Hang: make(chan struct{})}}
		portion := 0
		w.publish(func() {
			if portion++; portion != 3 {
				return
			}
			w.api.SetFaults(hang)
			time.Sleep(time.Second)
			r.stop()
			w.api.SetFaults(emulator.Faults{Latency: 5 * time.Millisecond})
			w.start()
		})
		w.settle()
		w.judge(0)
		for _, line := range []string{"could not close the session", "did not shut down cleanly"} {
			if strings.Contains(w.output.b.String(), line) {
				w.t.Errorf("the log says %q of an orderly stop", line)
			}
		}
	})
}

// TestBrokerFaults: the broker drops connections and answers errors to
// everything that the pipeline asks of it.
func TestBrokerFaults(t *testing.T) {
	t.Parallel()
	each(t, traffic, func(w *world) {
		w.start()
		w.start()
		var mu sync.Mutex
		share, chance := 0.0, rand.New(rand.NewPCG(7, w.rng.Uint64()))
		for key := range int16(37) {
			w.kafka.Fake.ControlKey(key, func(req kmsg.Request) (kmsg.Response, error, bool) {
				w.kafka.Fake.KeepControl()
				mu.Lock()
				defer mu.Unlock()
				if share > 0 && w.faultable(req) && chance.Float64() < share {
					return nil, errors.New("dropped"), true
				}
				return nil, nil, false
			})
		}
		w.publish(func() {
			mu.Lock()
			share = []float64{0, 0.05, 0.3}[w.rng.IntN(3)]
			mu.Unlock()
			time.Sleep(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
			mu.Lock()
			share = 0
			mu.Unlock()
		})
		w.settle()
		// A member whose connections are dropped may lose its partitions while
		// requests are on their way; that is a crash as far as the promise goes.
		w.judge(2 * 12 * inFlight)
	})
}

// faultable reports whether a request may be failed: not those of the test's own
// clients, of which franz-go names itself.
func (w *world) faultable(req kmsg.Request) bool {
	switch req.(type) {
	case *kmsg.ProduceRequest, *kmsg.FetchRequest, *kmsg.OffsetCommitRequest, *kmsg.HeartbeatRequest, *kmsg.JoinGroupRequest, *kmsg.SyncGroupRequest, *kmsg.ListOffsetsRequest, *kmsg.MetadataRequest:
		return true
	}
	return false
}
