// Package consumer reads records from Kafka and ensures that each event is
// reported, and reported once.
//
// [Consumer.Run] joins the group (package group), which assigns some partitions to
// this replica (assignment.go). The owner of a partition (owner.go) reads the
// events that were reported before (state.go), fetches records (fetch.go) and
// decodes them (decode.go). Package partition decides about each event:
// duplicate, dead letter, wait for a parent, or ready for the [Sink]. The sink
// returns an outcome for each event. Accepted events are written to the state
// topic (state.go) and dead letters to theirs (deadletter.go). Only then is a
// record finished. The watermark is committed, the offset up to which all records
// are finished.
package consumer

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/trace"

	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/lifecycle"
	"github.com/clientevents/clientevents/internal/metric"
	"github.com/clientevents/clientevents/internal/ownership"
	"github.com/clientevents/clientevents/internal/scrub"
)

// Sink reports events.
type Sink interface {
	// Accept takes deliveries; it does not block. Each receives one outcome.
	Accept([]*event.Delivery)
	// Raise gives a delivery that was accepted a better rank.
	Raise(d *event.Delivery, rank uint8)
	// Drain ends terms. It sends their events that can be sent at once, releases
	// the others, and returns true when each has its outcome. It returns false if
	// ctx ends first. Other terms are not affected.
	Drain(ctx context.Context, terms []*event.Term) bool
	// Abort cuts off all requests in flight, and returns when the events of terms
	// have their outcome or ctx ends.
	Abort(ctx context.Context, terms []*event.Term)
}

// Rules are the rules by which partitions decide.
type Rules = partition.Rules

// Suspicious defines which events the API is likely to discard.
type Suspicious = partition.Suspicious

// Config configures a [Consumer]. Fields without a default are required.
type Config struct {
	Brokers         []string
	Topic           string
	Group           string
	DeadLetterTopic string
	StateTopic      string
	// ByRequest is an internal topic through which the events of a source topic pass
	// that is not keyed by journey, see rekey.go; "" for a source topic that is.
	ByRequest string
	// StateReplication is the replication factor of topics that have to be
	// created; 0 is the broker's own default.
	StateReplication int
	// StartLatest starts at the end of a partition for which the group has no
	// offset, instead of at its beginning.
	StartLatest bool
	// Version is the API's version, which defines the event types.
	Version event.Version
	// Decoder turns records into events; default [JSON] of Version.
	Decoder Decoder
	Rules   Rules

	// InstanceID makes the membership in the group static, see [group.Config].
	InstanceID string
	// SessionTimeout is how long the broker waits for a request of this replica
	// before it assigns the partitions to others; default 8 s. The broker's lower
	// bound is 6 s by default.
	SessionTimeout time.Duration
	// ConfigHash names the configuration for the other replicas, see [group.Config].
	ConfigHash string
	// Stop is the time budget of a stop. It begins when Run's context ends; a
	// rebalance has one of the same size for itself. Default lifecycle.Total.
	Stop *lifecycle.Budget
	// CommitInterval is how often offsets are committed; default 1 s.
	CommitInterval time.Duration
	// Memory is the limit of the process's memory; 0 without a limit.
	Memory int64
	// MaxInFlightBytes and MaxInFlightRecords bound the records between fetch and
	// outcome, for all partitions together; defaults a twelfth of Memory, or 32 MiB
	// without a limit, and 10,000. A batch or record that is larger than usual may
	// take an eighth of Memory in addition.
	MaxInFlightBytes   int64
	MaxInFlightRecords int64
	// ReadAhead is the number of records in process, other than waiting ones, that
	// keeps the sink busy; default MaxInFlightRecords.
	ReadAhead int64

	// Transport carries all requests. It includes TLS and SASL.
	Transport *kafka.Transport

	// Ownership is where the consumer publishes the lease and the share of its
	// partitions; nil for its own.
	Ownership *ownership.Ownership

	// Explain adds the cause and the remedy to an error of the brokers, if it
	// knows them; nil leaves errors unchanged. It may take as long as connecting.
	Explain func(context.Context, error) error

	// Reported is called with each event that is durably known as reported; nil for
	// nothing. It must not block.
	Reported func(*event.Event)

	// Redact returns a record's value as a dead letter has it, and false if the dead
	// letter must not have any of it; nil leaves all values as they are.
	Redact func(value []byte) (redacted []byte, ok bool)

	// Secrets removes secrets from the details of dead letters; nil removes none.
	Secrets *scrub.Scrubber

	// Tracer starts a span for each record; nil starts none.
	Tracer trace.Tracer

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (c *Config) setDefaults() {
	setDefault(&c.SessionTimeout, 8*time.Second)
	setDefault(&c.CommitInterval, time.Second)
	setDefault(&c.MaxInFlightBytes, budgetOf(c.Memory))
	setDefault(&c.MaxInFlightRecords, 10_000)
	setDefault(&c.ReadAhead, c.MaxInFlightRecords)
	setDefault(&c.Transport, &kafka.Transport{})
	setDefault(&c.Logger, slog.New(slog.DiscardHandler))
	if c.Stop == nil {
		c.Stop = lifecycle.NewBudget(lifecycle.Total, c.Logger)
	}
	if c.Decoder == nil {
		c.Decoder = JSON(c.Version)
	}
	if c.Ownership == nil {
		c.Ownership = &ownership.Ownership{}
	}
	if c.Explain == nil {
		c.Explain = func(_ context.Context, err error) error { return err }
	}
}

// budgetOf returns the default of MaxInFlightBytes.
func budgetOf(memory int64) int64 {
	const least, usual, most = 4 << 20, 32 << 20, 256 << 20
	if memory <= 0 {
		return usual
	}
	return min(max(memory/12, least), most)
}

// largeOf returns the memory for a batch or record that is larger than usual.
func largeOf(memory int64) int64 {
	const least, most = 8 << 20, 4 * maxRecordBytes
	if memory <= 0 {
		return most
	}
	return min(max(memory/8, least), most)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Consumer is one replica in the consumer group.
type Consumer struct {
	cfg        Config
	sink       Sink
	log        *slog.Logger
	metrics    *metrics
	suspicions *suspicions // nil if no event can be suspicious
	budget     *budget
	client     *kafka.Client
	kafka      *kafkalog.Client
	member     *group.Member
	assignment *assignment

	// beforeDecode lets a test observe or stop the decoding of a record.
	beforeDecode func(*record)
	// beforeClaim lets a test stop an owner before it writes its first session.
	beforeClaim func()
	// transactionPatience is how long an open transaction may hold a partition up
	// before it is reported.
	transactionPatience time.Duration
	// first is the half that reads the source topic, of a consumer that rekeys; from is
	// its topic and group. Both are nil otherwise, and of the first half itself.
	first *Consumer
	from  *source

	// The numbers of partitions of the dead-letter topic and of the internal topic.
	deadLetterPartitions, rekeyPartitions atomic.Int64

	running atomic.Bool
	// pulse is when time last passed for the partitions, Unix nanoseconds.
	pulse atomic.Int64

	recent recent // dead letters
	keying keying

	// pausedAll means that an operator has paused all partitions of this replica.
	pausedAll atomic.Bool

	// draining means that the replica is leaving the group.
	draining atomic.Bool

	mu   sync.Mutex
	held error // why the replica could not join the group yet; nil if unknown
	loss Loss
}

// New returns a consumer that sends events to sink.
func New(cfg Config, sink Sink) *Consumer {
	cfg.setDefaults()
	b := newBudget(limits{
		bytes: cfg.MaxInFlightBytes, records: cfg.MaxInFlightRecords, large: largeOf(cfg.Memory), ahead: cfg.ReadAhead,
	})
	log := kafkalog.NewClient(kafka.TCP(cfg.Brokers...), cfg.Transport)
	m := newMetrics(cfg.Registerer, b, log, cfg.Version)
	if cfg.ByRequest == "" {
		return newConsumer(cfg, sink, b, log, m)
	}
	first, second := cfg.split()
	c := newConsumer(second, sink, b, log, m)
	c.from = &source{cfg.Topic, cfg.Group}
	c.first = newConsumer(first, noSink{}, b, log, m.ofFirst())
	return c
}

// newConsumer returns a consumer, or a half of one, with what the halves share.
func newConsumer(cfg Config, sink Sink, b *budget, log *kafkalog.Client, m *metrics) *Consumer {
	c := &Consumer{
		cfg:        cfg,
		sink:       sink,
		log:        cfg.Logger,
		budget:     b,
		metrics:    m,
		suspicions: newSuspicions(cfg.Rules.Suspicious, cfg.Logger, cfg.Registerer),
		client:     &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: cfg.Transport},
		kafka:      log,

		transactionPatience: transactionPatience,
		member: group.New(group.Config{
			Brokers: cfg.Brokers, Transport: cfg.Transport, Group: cfg.Group, Topic: cfg.Topic, InstanceID: cfg.InstanceID,
			SessionTimeout: cfg.SessionTimeout, ConfigHash: cfg.ConfigHash, Ownership: cfg.Ownership, Logger: cfg.Logger,
		}),
	}
	c.assignment = newAssignment(c)
	return c
}

// Run consumes until ctx ends, and then drains. With rekeying, both halves do.
func (c *Consumer) Run(ctx context.Context) error {
	if c.first == nil {
		return c.run(ctx)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var err error
	var first sync.WaitGroup
	first.Go(func() {
		if err = c.first.run(ctx); err != nil {
			stop() // the other half would wait for events without end
		}
	})
	second := c.run(ctx)
	if second != nil {
		stop()
	}
	first.Wait()
	return errors.Join(err, second)
}

// run consumes until ctx ends, and then drains: it returns when the events in
// flight are finished or the drain's time is over, offsets are committed and the
// replica has left the group. It returns only errors that waiting does not fix,
// such as an unfit state topic.
func (c *Consumer) run(ctx context.Context) error {
	if err := c.prepareTopics(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	stopping, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	defer context.AfterFunc(stopping, func() { c.draining.Store(true) })()
	c.hold(nil)
	c.assignment.stopping, c.assignment.fail = stopping, fail
	attending, stop := context.WithCancel(context.WithoutCancel(ctx))
	var aside sync.WaitGroup
	aside.Go(func() { c.assignment.attend(attending) })
	c.pulse.Store(time.Now().UnixNano())
	c.running.Store(true)
	defer c.running.Store(false)
	err := c.member.Run(stopping, c.assignment)
	_ = c.cfg.Stop.Step(ctx, lifecycle.LeaveGroup, c.member.Leave)
	stop()
	aside.Wait()
	if err == nil && ctx.Err() == nil {
		err = context.Cause(stopping)
	}
	return err
}

// SetRules changes the rules of all partitions, those that are assigned later among
// them. The window and what belongs to a half of the consumer stay as they are.
func (c *Consumer) SetRules(rules Rules) {
	rules.Window, rules.Settle = c.cfg.Rules.Window, c.cfg.Rules.Settle
	c.assignment.setRules(rules)
}

// SetConfigHash changes the hash that names the configuration in force.
func (c *Consumer) SetConfigHash(hash string) { c.member.SetConfigHash(hash) }

// owners returns the owners of the partitions that are assigned at the moment.
func (c *Consumer) owners() []*owner { return c.assignment.all() }

// hold records why the replica could not join the group yet.
func (c *Consumer) hold(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = err
}

// Leased reports whether this replica certainly owns its partitions at now. If
// not, no request may start: another replica may own the partitions and send the
// same events.
func (c *Consumer) Leased(now time.Time) bool { return c.cfg.Ownership.Leased(now) }

// stuckAfter is how long a goroutine may make no progress before the program is
// considered stuck.
const stuckAfter = time.Minute

// Alive reports whether the consumer makes progress. It does not depend on
// brokers, the API or tokens; only a fault of the program makes it false.
func (c *Consumer) Alive(now time.Time) bool {
	return !slices.ContainsFunc(c.halves(), func(half *Consumer) bool { return !half.alive(now) })
}

func (c *Consumer) alive(now time.Time) bool {
	return !c.running.Load() || now.Sub(time.Unix(0, c.pulse.Load())) < stuckAfter
}

// Partitions describes the assigned partitions; nil before the replica has joined
// the group.
func (c *Consumer) Partitions() []PartitionStatus {
	if all := c.assignment.status(); len(all) > 0 || c.member.Status().Generation >= 0 {
		return all
	}
	return nil
}

// Throttled returns for how long the brokers still ask this replica to send no
// further request, because of a quota.
func (c *Consumer) Throttled(now time.Time) time.Duration {
	_, until := c.kafka.Throttled()
	longest := max(0, until.Sub(now))
	for _, half := range c.halves() {
		longest = max(longest, half.member.Status().Throttled)
	}
	return longest
}

// Uncommitted returns why offsets can't be committed, and since when; nil if the last
// commit was accepted.
func (c *Consumer) Uncommitted() *Cause {
	for _, half := range c.halves() {
		if cause := half.assignment.uncommitted.Load(); cause != nil {
			return cause
		}
	}
	return nil
}

// Group describes the replica's membership in the group, and the group.
func (c *Consumer) Group() group.Status { return c.member.Status() }

// Counts returns the number of records by outcome, and of dead letters by
// reason.
func (c *Consumer) Counts() (outcomes, deadLetters map[string]uint64) {
	outcomes, deadLetters = map[string]uint64{}, map[string]uint64{}
	for outcome, counter := range c.metrics.records {
		outcomes[partition.Outcome(outcome).String()] = metric.Count(counter)
	}
	for reason, counter := range c.metrics.deadLetters {
		deadLetters[string(reason)] = metric.Count(counter)
	}
	return outcomes, deadLetters
}

// EndToEnd returns the number of accepted events, and the sum of the seconds from
// their records' timestamps to their acceptance.
func (c *Consumer) EndToEnd() (events uint64, seconds float64) {
	return metric.CountAndSum(c.metrics.endToEnd)
}

// RecentLetters returns the latest dead letters, the latest first.
func (c *Consumer) RecentLetters() []RecentLetter {
	letters := c.recent.latest()
	if c.first != nil {
		letters = append(letters, c.first.recent.latest()...)
		slices.SortStableFunc(letters, func(a, b RecentLetter) int { return b.Time.Compare(a.Time) })
	}
	return letters[:min(len(letters), keptLetters)]
}
