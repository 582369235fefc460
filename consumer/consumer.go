// Package consumer reads records from Kafka, decides what becomes of each, and
// sees to it that none is lost and none is reported twice.
//
// A record's way through it: [Consumer.Run] joins the group; each generation
// (generation.go) gives this replica some partitions. A partition's owner
// (owner.go) first reads what was reported before (state.go), then fetches
// records, decodes them and lets the partition (partition.go) decide: duplicate,
// dead letter, wait for a parent, or on to the [Sink]. The sink tells each
// outcome to the partition; accepted events are written to the state topic and
// dead letters to theirs, and only then is the record done for the tracker
// (tracker.go), whose watermark is what the generation commits.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/trace"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/event"
)

// Sink is where events go to be reported.
type Sink interface {
	// Accept takes deliveries; it does not block. Each one's Done is called
	// once.
	Accept([]*event.Delivery)
	// Raise gives a delivery that was accepted a better rank.
	Raise(d *event.Delivery, rank uint8)
	// Settle says that n accepted events are durably known as reported, so that
	// they are no longer in flight.
	Settle(n int)
	// Drain sends what can go at once, releases the rest, and returns when
	// nothing is pending or in flight any more. When ctx ends first, it gives
	// up what is in flight.
	Drain(ctx context.Context)
	// Resume takes deliveries again after a Drain.
	Resume()
}

// Rules are what a partition decides by.
type Rules struct {
	Version event.Version
	// Window is how long an event id is remembered.
	Window time.Duration
	// ParentsRequired makes dead letters of events whose parent was not
	// reported; otherwise they are sent when the wait is over.
	ParentsRequired bool
	// ParentsWait is how long an event waits for its parent.
	ParentsWait time.Duration
	Suspicious  Suspicious
	// ByValue ranks events by their types, and parents by those of their
	// children that wait for them; otherwise all are equal.
	ByValue bool
}

// Config is what a consumer needs. Fields without a default are required.
type Config struct {
	Brokers         []string
	Topic           string
	Group           string
	DeadLetterTopic string
	StateTopic      string
	// StateReplication is the replication factor of topics that have to be
	// created; 0 is the broker's own default.
	StateReplication int
	// StartLatest begins at the end of a partition for which the group has no
	// offset, instead of at its beginning.
	StartLatest bool
	Rules       Rules

	// SessionTimeout is how long the broker waits for a sign of life before it
	// gives this replica's partitions to others; default 8 s, the broker's
	// lower bound is 6 s unless changed.
	SessionTimeout time.Duration
	// DrainTimeout bounds how long a replica finishes what is in flight before
	// it gives its partitions away; default 8 s.
	DrainTimeout time.Duration
	// CommitInterval is how often offsets are committed; default 1 s.
	CommitInterval time.Duration
	// MaxInFlightBytes and MaxInFlightRecords bound what is between fetch and
	// outcome, for all partitions together; defaults 32 MiB and 10,000.
	MaxInFlightBytes   int64
	MaxInFlightRecords int64
	// ReadAhead is how many records are enough to have in process for the sink to
	// be kept busy, as long as they move; default MaxInFlightRecords.
	ReadAhead int64

	// Transport carries all requests but those of the group membership, which
	// go through Dialer. Both hold TLS and SASL.
	Transport *kafka.Transport
	Dialer    *kafka.Dialer

	// OnShare is told whenever the partitions of this replica change: how many
	// of how many it owns.
	OnShare func(owned, all int)

	// Explain says of an error of the brokers, where it can, what is wrong and
	// what to do; nil leaves errors as they are. It may take as long as
	// connecting does.
	Explain func(context.Context, error) error

	// Tracer makes a span for each event; nil makes none.
	Tracer trace.Tracer

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (c *Config) setDefaults() {
	setDefault(&c.SessionTimeout, 8*time.Second)
	setDefault(&c.DrainTimeout, 8*time.Second)
	setDefault(&c.CommitInterval, time.Second)
	setDefault(&c.MaxInFlightBytes, 32<<20)
	setDefault(&c.MaxInFlightRecords, 10_000)
	setDefault(&c.ReadAhead, c.MaxInFlightRecords)
	setDefault(&c.Dialer, &kafka.Dialer{Timeout: 10 * time.Second})
	setDefault(&c.Transport, &kafka.Transport{})
	setDefault(&c.Logger, slog.New(slog.DiscardHandler))
	if c.OnShare == nil {
		c.OnShare = func(int, int) {}
	}
	if c.Explain == nil {
		c.Explain = func(_ context.Context, err error) error { return err }
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Consumer is one replica's part of the consumer group.
type Consumer struct {
	cfg     Config
	sink    Sink
	log     *slog.Logger
	metrics *metrics
	budget  *budget
	client  *kafka.Client
	kafka   *kafkalog.Client

	lease lease
	// beforeDecode is a test's way to see, or to break, what a record does.
	beforeDecode func(*record)
	// deadLetterPartitions is how many partitions the dead-letter topic has.
	deadLetterPartitions atomic.Int64

	// pulse is when the goroutine that commits and keeps the lease last moved,
	// Unix nanoseconds.
	pulse atomic.Int64

	recent recent // dead letters

	// pausedAll says that this replica fetches nothing, as an operator wishes.
	pausedAll atomic.Bool

	// endedAt is when the last generation began to end, Unix nanoseconds; 0 for
	// none.
	endedAt atomic.Int64

	// draining says that the replica is on its way out of the group.
	draining atomic.Bool

	mu      sync.Mutex
	current *generation // nil between generations
	held    error       // what keeps it from the next one; nil while nothing is known to
}

// New makes a consumer that hands events to sink.
func New(cfg Config, sink Sink) *Consumer {
	cfg.setDefaults()
	b := newBudget(cfg.MaxInFlightBytes, cfg.MaxInFlightRecords, cfg.ReadAhead)
	addr := kafka.TCP(cfg.Brokers...)
	m := newMetrics(cfg.Registerer, b, cfg.Rules.Version)
	m.suspicious = newSuspicions(cfg.Rules.Suspicious, cfg.Logger, cfg.Registerer)
	return &Consumer{
		cfg:     cfg,
		sink:    sink,
		log:     cfg.Logger,
		budget:  b,
		metrics: m,
		client:  &kafka.Client{Addr: addr, Transport: cfg.Transport},
		kafka:   kafkalog.NewClient(addr, cfg.Transport),
	}
}

// Run consumes until ctx ends, and then drains: it returns when what was in
// flight is finished or the drain's time is over, offsets are committed and the
// group is left. It returns an error only for what can't get better by itself,
// such as a state topic that is not fit for its purpose.
func (c *Consumer) Run(ctx context.Context) error {
	if err := c.prepareTopics(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	balancers := newBalancers(c.cfg.Topic)
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                c.cfg.Group,
		Brokers:           c.cfg.Brokers,
		Topics:            []string{c.cfg.Topic},
		Dialer:            c.cfg.Dialer,
		GroupBalancers:    balancers.all(),
		SessionTimeout:    c.cfg.SessionTimeout,
		HeartbeatInterval: c.cfg.SessionTimeout / 10, // how soon the others learn that one is gone
		RebalanceTimeout:  2 * c.cfg.SessionTimeout,
		// A failed join makes the library forget its member id without leaving;
		// the group then stalls for the session timeout whatever we do here, so
		// a short backoff costs nothing.
		JoinGroupBackoff: 500 * time.Millisecond,
		StartOffset:      kafka.FirstOffset,
		Timeout:          5 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("join group %q: %w", c.cfg.Group, err)
	}
	defer c.leave(group)
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, kafka.ErrGroupClosed):
			return err
		case err != nil:
			if fatal := hopeless(err); fatal != nil {
				return fmt.Errorf("join group %q: %w", c.cfg.Group, fatal)
			}
			c.hold(err)
			c.log.Warn("could not join the consumer group; trying again", "group", c.cfg.Group, "error", err)
			continue
		}
		if err := c.own(ctx, gen, balancers); err != nil {
			return err
		}
	}
}

// leave says goodbye to the group. The library can't interrupt a join that is
// under way, so waiting for it is bounded.
func (c *Consumer) leave(group *kafka.ConsumerGroup) {
	left := make(chan struct{})
	go func() {
		defer close(left)
		_ = group.Close()
	}()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C:
		c.log.Warn("left without the broker's word: it will notice when the session times out", "session_timeout", c.cfg.SessionTimeout)
	}
}

// own runs one generation from its assignment to its end.
func (c *Consumer) own(ctx context.Context, gen *kafka.Generation, balancers *balancers) error {
	g := newGeneration(c, gen)
	c.pulse.Store(time.Now().UnixNano())
	c.setCurrent(g)
	defer c.setCurrent(nil)
	ended := make(chan error, 1)
	gen.Start(func(genCtx context.Context) { ended <- g.run(ctx, genCtx, balancers) })
	// Not the library's word but ours: on a generation that ended already it
	// does not wait for what it starts.
	return <-ended
}

func (c *Consumer) setCurrent(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.held = g, nil
}

// hold notes why the replica can't be a member of the group yet.
func (c *Consumer) hold(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = err
}

// notMember says why the replica is not ready between generations.
func notMember(held error) string {
	if held == nil {
		return "not a member of the consumer group"
	}
	return "not a member of the consumer group: " + held.Error()
}

// Leased says whether this replica can be sure at now that its partitions are
// its own. No request may start when it is not: the partitions may be another
// replica's, which sends the same events.
func (c *Consumer) Leased(now time.Time) bool { return c.lease.valid(now) }

// stuckAfter is how long what ought to move every moment may stand still.
const stuckAfter = time.Minute

// Alive says whether the consumer itself moves. Brokers, the API and tokens are
// no reason for it not to; only a fault of the program is.
func (c *Consumer) Alive(now time.Time) bool {
	c.mu.Lock()
	owning := c.current != nil
	c.mu.Unlock()
	return !owning || now.Sub(time.Unix(0, c.pulse.Load())) < stuckAfter
}

// Ready says whether the replica has joined the group, has read the state of
// its partitions, and is not draining; if not, why.
func (c *Consumer) Ready() (bool, string) {
	c.mu.Lock()
	g, held := c.current, c.held
	c.mu.Unlock()
	switch {
	case c.draining.Load():
		return false, "draining"
	case g == nil:
		return false, notMember(held)
	}
	return g.ready()
}

// Partitions describes the partitions that are owned at the moment.
func (c *Consumer) Partitions() []PartitionStatus {
	c.mu.Lock()
	g := c.current
	c.mu.Unlock()
	if g == nil {
		return nil
	}
	return g.status()
}

// Counts are how many records had each outcome so far, and how many dead
// letters there were for each reason.
func (c *Consumer) Counts() (outcomes, deadLetters map[string]uint64) {
	outcomes, deadLetters = map[string]uint64{}, map[string]uint64{}
	for outcome, counter := range c.metrics.records {
		outcomes[outcome] = counterValue(counter)
	}
	for reason, counter := range c.metrics.deadLetters {
		deadLetters[string(reason)] = counterValue(counter)
	}
	return outcomes, deadLetters
}

// EndToEnd are how many events were accepted so far, and the sum of the seconds
// from their records' timestamps to then.
func (c *Consumer) EndToEnd() (events uint64, seconds float64) {
	return histogramValue(c.metrics.endToEnd)
}

// RecentLetters are the latest dead letters, the latest first.
func (c *Consumer) RecentLetters() []RecentLetter { return c.recent.latest() }

// The values of PartitionStatus.Trouble.
const (
	TroubleFetch       = "fetch"             // records can't be read
	TroubleState       = "state_topic"       // the state topic can't be written
	TroubleDeadLetters = "dead_letter_topic" // nor the dead-letter topic
)

// PartitionStatus is what /status says of a partition.
type PartitionStatus struct {
	Partition  int32     `json:"partition"`
	Restored   bool      `json:"restored"`
	Remaining  int64     `json:"restore_remaining_records,omitempty"`
	Position   int64     `json:"position"`
	Watermark  int64     `json:"watermark"`
	Committed  int64     `json:"committed"`
	End        int64     `json:"end"`
	Lag        int64     `json:"lag"`
	Unfinished int       `json:"unfinished"`
	Waiting    int       `json:"waiting_for_parent"`
	Known      int       `json:"dedupe_entries"`
	Oldest     time.Time `json:"oldest_unfinished,omitzero"`
	// Trouble is what the partition waits for at the brokers; "" for nothing.
	Trouble string `json:"trouble,omitempty"`
	// Paused: nothing is fetched, since an operator wants it so. PausedSince is
	// zero where it is all partitions of the replica that are paused.
	Paused      bool      `json:"paused"`
	PausedSince time.Time `json:"paused_since,omitzero"`
}
