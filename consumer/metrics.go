package consumer

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/metric"
)

type metrics struct {
	fetched        prometheus.Counter
	records        [partition.OutcomeCount]prometheus.Counter
	reported       map[event.Type]prometheus.Counter
	deadLetters    map[event.Reason]prometheus.Counter
	endToEnd       prometheus.Histogram
	lag            *prometheus.GaugeVec
	end            *prometheus.GaugeVec
	watermark      *prometheus.GaugeVec
	oldestOf       *prometheus.GaugeVec
	transaction    *prometheus.GaugeVec
	waiting        prometheus.Gauge
	retention      *prometheus.GaugeVec
	assigned       prometheus.Gauge
	paused         prometheus.Gauge
	rebalances     prometheus.Counter
	rebalance      prometheus.Histogram
	dedupe         prometheus.Gauge
	oldest         prometheus.Gauge
	restoring      *prometheus.GaugeVec
	stateSeconds   prometheus.Histogram
	writeFailures  *prometheus.CounterVec
	fetchFailures  prometheus.Counter
	commitFailures prometheus.Counter
	skippedOffsets prometheus.Counter
	recreated      prometheus.Counter
	rekeyed        prometheus.Counter
	withoutKey     prometheus.Counter
	misplaced      prometheus.Counter
	oldestBy       *oldestBy
	prefix         string // of the values of the label partition
}

// oldestBy is the oldest unfinished record of each assignment; zero for none.
type oldestBy struct {
	mu sync.Mutex
	of map[*assignment]time.Time
}

// setOldest sets the oldest unfinished record of an assignment. The gauge shows the
// oldest of all.
func (m *metrics) setOldest(a *assignment, t time.Time) {
	m.oldestBy.mu.Lock()
	defer m.oldestBy.mu.Unlock()
	m.oldestBy.of[a] = t
	var oldest time.Time
	for _, t := range m.oldestBy.of {
		if !t.IsZero() && (oldest.IsZero() || t.Before(oldest)) {
			oldest = t
		}
	}
	m.oldest.Set(timestamp(oldest))
}

func newMetrics(reg prometheus.Registerer, b *budget, log *kafkalog.Client, version event.Version) *metrics {
	s := metric.Set{Registerer: reg}
	m := &metrics{oldestBy: &oldestBy{of: map[*assignment]time.Time{}}}
	m.addOutcomes(s, version)
	m.addPartitions(s)
	m.addWork(s)
	m.addFailures(s)
	s.GaugeFunc("clientevents_buffered_bytes",
		"Memory accounted to records between fetch and outcome.",
		func() float64 { return float64(b.held()) })
	s.CounterFunc("clientevents_kafka_throttled_seconds_total",
		"Time that brokers throttled this client because of a quota.",
		func() float64 {
			total, _ := log.Throttled()
			return total.Seconds()
		})
	return m
}

// addOutcomes adds the metrics of records and their outcomes.
func (m *metrics) addOutcomes(s metric.Set, version event.Version) {
	m.fetched = s.Counter("clientevents_fetched_records_total",
		"Records read from the source topic.")
	records := s.Counters("clientevents_records_total",
		"Records by outcome, counted when the outcome is durable.", "outcome")
	for _, outcome := range partition.Outcomes() {
		m.records[outcome] = records.WithLabelValues(outcome.String())
	}
	m.reported = metric.Each(s.Counters("clientevents_reported_total",
		"Reported events, by type.", "type"), version.Types(), event.Type.String)
	m.deadLetters = metric.Each(s.Counters("clientevents_dead_letters_total",
		"Dead letters by reason, counted when the broker has stored them.", "reason"),
		event.Reasons(), func(r event.Reason) string { return string(r) })
	m.endToEnd = s.Histogram("clientevents_end_to_end_seconds",
		"Time from a record's timestamp to the API's acceptance of its event.",
		.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200)
	m.withoutKey = s.Counter("clientevents_records_without_key_total",
		"Records of the source topic without a key, which may be in any partition. Not counted with input.rekey.")
	m.misplaced = s.Counter("clientevents_misplaced_children_total",
		"Children that became dead letters because their parent was reported from another partition of this replica.")
	m.rekeyed = s.Counter("clientevents_rekeyed_events_total",
		"Events written to the internal topic of input.rekey.")
}

// addPartitions adds the metrics that have a series for each partition.
func (m *metrics) addPartitions(s metric.Set) {
	m.lag = s.Gauges("clientevents_consumer_lag",
		"Records of a partition without an outcome: end offset minus watermark.", "partition")
	m.end = s.Gauges("clientevents_partition_end_offset",
		"Latest known end offset of a partition: the offset of its next record.", "partition")
	m.watermark = s.Gauges("clientevents_partition_watermark_offset",
		"Lowest unfinished offset of a partition, which is the offset to commit.", "partition")
	m.oldestOf = s.Gauges("clientevents_partition_oldest_unfinished_timestamp_seconds",
		"Timestamp of a partition's oldest record without an outcome; 0 if there is none.", "partition")
	m.transaction = s.Gauges("clientevents_open_transaction_timestamp_seconds",
		"Timestamp of the first record of the open transaction that blocks a partition; 0 if there is none.", "partition")
	m.restoring = s.Gauges("clientevents_state_restore_remaining_records",
		"State records left to read before a partition's events are processed.", "partition")
}

// addWork adds the metrics of what the replica has and does.
func (m *metrics) addWork(s metric.Set) {
	m.waiting = s.Gauge("clientevents_waiting_for_parent",
		"Events waiting for their parent to be reported.")
	m.assigned = s.Gauge("clientevents_assigned_partitions",
		"Partitions of the source topic assigned to this replica.")
	m.paused = s.Gauge("clientevents_paused_partitions",
		"Partitions of this replica that an operator paused.")
	m.dedupe = s.Gauge("clientevents_dedupe_entries",
		"Event IDs remembered as reported.")
	m.oldest = s.Gauge("clientevents_oldest_unfinished_timestamp_seconds",
		"Timestamp of the oldest record without an outcome; 0 if there is none.")
	m.retention = s.Gauges("clientevents_source_retention_seconds",
		"Retention time of the source topic; +Inf means unlimited. Absent if the broker does not report it (DescribeConfigs).")
	m.rebalances = s.Counter("clientevents_rebalances_total",
		"Assignments and revocations of partitions at this replica.")
	m.rebalance = s.Histogram("clientevents_rebalance_seconds",
		"Time to drain and release the partitions that a rebalance revokes.",
		.1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60)
	m.stateSeconds = s.Histogram("clientevents_state_write_seconds",
		"Duration of a write to the state topic.", prometheus.ExponentialBuckets(0.0005, 2, 14)...)
}

// addFailures adds the metrics of failures.
func (m *metrics) addFailures(s metric.Set) {
	m.writeFailures = s.Counters("clientevents_topic_write_failures_total",
		"Failed writes to the state topic, the dead-letter topic or the internal topic of input.rekey; they are retried.", "topic")
	for _, topic := range []string{topicState, topicDeadLetter, topicByRequest} {
		m.writeFailures.WithLabelValues(topic)
	}
	m.fetchFailures = s.Counter("clientevents_fetch_failures_total",
		"Failed fetches from the source topic; they are retried.")
	m.commitFailures = s.Counter("clientevents_commit_failures_total",
		"Failed offset commits.")
	m.skippedOffsets = s.Counter("clientevents_lost_offsets_total",
		"Offsets deleted by the source topic's retention before they were read.")
	m.recreated = s.Counter("clientevents_recreated_topics_total",
		"Times that this replica found the source topic recreated and restarted from its beginning.")
}

// ofFirst returns the metrics of the first half of a consumer that rekeys. It shares
// those that count or are of a partition. The label of its partitions, which are of the
// source topic, is "source-N". The others describe the second half alone.
func (m *metrics) ofFirst() *metrics {
	first, unregistered := *m, newMetrics(nil, nil, nil, 0)
	first.prefix = "source-"
	first.assigned, first.paused, first.waiting, first.dedupe = unregistered.assigned, unregistered.paused, unregistered.waiting, unregistered.dedupe
	return &first
}

// The values of the label topic.
const (
	topicState      = "state"
	topicDeadLetter = "dead_letter"
	topicByRequest  = "by_request"
)

func partitionLabel(id int32) string { return strconv.Itoa(int(id)) }

// label returns the value of the label partition.
func (m *metrics) label(id int32) string { return m.prefix + partitionLabel(id) }

// observe sets the series of a partition.
func (m *metrics) observe(s *PartitionStatus) {
	label := m.label(s.Partition)
	m.lag.WithLabelValues(label).Set(float64(s.Lag))
	m.end.WithLabelValues(label).Set(float64(s.End))
	m.watermark.WithLabelValues(label).Set(float64(max(0, s.Watermark)))
	m.oldestOf.WithLabelValues(label).Set(timestamp(s.Oldest))
	since := 0.
	if s.Transaction != nil {
		since = timestamp(s.Transaction.Since)
	}
	m.transaction.WithLabelValues(label).Set(since)
}

// forget removes the series of a revoked partition.
func (m *metrics) forget(id int32) {
	for _, vec := range []*prometheus.GaugeVec{m.lag, m.end, m.watermark, m.oldestOf, m.restoring, m.transaction} {
		vec.DeleteLabelValues(m.label(id))
	}
}

// timestamp returns t in Unix seconds; 0 for the zero time.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
