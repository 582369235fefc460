package consumer

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/clientevents/clientevents/event"
)

// The outcomes of a record, values of the label of clientevents_records_total.
const (
	outcomeReported   = "reported"
	outcomeDuplicate  = "duplicate"
	outcomeDeadLetter = "dead_letter"
	outcomeSkipped    = "skipped"
)

type metrics struct {
	suspicious     *suspicions // nil finds none
	fetched        prometheus.Counter
	records        map[string]prometheus.Counter
	reported       map[event.Type]prometheus.Counter
	deadLetters    map[event.Reason]prometheus.Counter
	endToEnd       prometheus.Histogram
	lag            *prometheus.GaugeVec
	end            *prometheus.GaugeVec
	watermark      *prometheus.GaugeVec
	oldestOf       *prometheus.GaugeVec
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
	bufferedBytes  prometheus.GaugeFunc
}

func newMetrics(reg prometheus.Registerer, b *budget, version event.Version) *metrics {
	m := &metrics{
		fetched: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clientevents_fetched_records_total",
			Help: "Records that were read from the source topic.",
		}),
		records:     map[string]prometheus.Counter{},
		reported:    map[event.Type]prometheus.Counter{},
		deadLetters: map[event.Reason]prometheus.Counter{},
		endToEnd: histogram("clientevents_end_to_end_seconds", "Time from a record's timestamp to the API's acceptance of its event.",
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clientevents_consumer_lag",
			Help: "Records of a partition that have no outcome yet: its end less the watermark.",
		}, []string{"partition"}),
		end: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clientevents_partition_end_offset",
			Help: "Offset that the next record of a partition will have, as far as is known.",
		}, []string{"partition"}),
		watermark: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clientevents_partition_watermark_offset",
			Help: "Offset below which every record of a partition has its outcome; what is committed.",
		}, []string{"partition"}),
		oldestOf: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clientevents_partition_oldest_unfinished_timestamp_seconds",
			Help: "Timestamp of a partition's oldest record that has no outcome yet; 0 when there is none.",
		}, []string{"partition"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clientevents_waiting_for_parent",
			Help: "Events that wait for their parent to be reported.",
		}),
		retention: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clientevents_source_retention_seconds",
			Help: "How long the source topic keeps records; +Inf for ever. Absent where the broker does not say (DescribeConfigs).",
		}, nil),
		assigned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clientevents_assigned_partitions",
			Help: "Partitions of the source topic that this replica owns.",
		}),
		paused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clientevents_paused_partitions",
			Help: "Partitions of this replica that stand still, since an operator paused them.",
		}),
		rebalances: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clientevents_rebalances_total",
			Help: "Generations of the consumer group that this replica has taken part in.",
		}),
		rebalance: histogram("clientevents_rebalance_seconds",
			"Time from the end of one generation of the consumer group, its drain included, to the next one's assignment.",
			.1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60),
		dedupe: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clientevents_dedupe_entries",
			Help: "Event ids that are remembered as reported.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clientevents_oldest_unfinished_timestamp_seconds",
			Help: "Timestamp of the oldest record that has no outcome yet; 0 when there is none.",
		}),
		restoring: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clientevents_state_restore_remaining_records",
			Help: "State records still to be read before a partition's events are taken.",
		}, []string{"partition"}),
		stateSeconds: histogram("clientevents_state_write_seconds", "Time of one write to the state topic.",
			prometheus.ExponentialBuckets(0.0005, 2, 14)...),
		writeFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clientevents_topic_write_failures_total",
			Help: "Writes to the state or the dead-letter topic that failed and are tried again.",
		}, []string{"topic"}),
		fetchFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clientevents_fetch_failures_total",
			Help: "Fetches from the source topic that failed and are tried again.",
		}),
		commitFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clientevents_commit_failures_total",
			Help: "Offset commits that failed.",
		}),
		skippedOffsets: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clientevents_lost_offsets_total",
			Help: "Offsets that the broker had deleted before they were read: its retention was shorter than the lag.",
		}),
		bufferedBytes: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "clientevents_buffered_bytes",
			Help: "Memory that records between fetch and outcome are accounted with.",
		}, func() float64 { return float64(b.held()) }),
	}
	records := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clientevents_records_total",
		Help: "Records by outcome, counted when the outcome is durable.",
	}, []string{"outcome"})
	for _, outcome := range []string{outcomeReported, outcomeDuplicate, outcomeDeadLetter, outcomeSkipped} {
		m.records[outcome] = records.WithLabelValues(outcome)
	}
	reported := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clientevents_reported_total",
		Help: "Events that were reported, by type.",
	}, []string{"type"})
	for _, t := range version.Types() {
		m.reported[t] = reported.WithLabelValues(t.String())
	}
	deadLetters := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clientevents_dead_letters_total",
		Help: "Dead letters by reason, counted when the broker has them.",
	}, []string{"reason"})
	for _, reason := range event.Reasons() {
		m.deadLetters[reason] = deadLetters.WithLabelValues(string(reason))
	}
	for _, topic := range []string{topicState, topicDeadLetter} {
		m.writeFailures.WithLabelValues(topic)
	}
	if reg != nil {
		reg.MustRegister(m.fetched, records, reported, deadLetters, m.endToEnd, m.lag, m.end, m.watermark, m.oldestOf, m.oldest,
			m.waiting, m.retention, m.assigned, m.paused, m.rebalances, m.rebalance, m.dedupe, m.restoring, m.stateSeconds,
			m.writeFailures, m.fetchFailures, m.commitFailures, m.skippedOffsets, m.bufferedBytes)
	}
	return m
}

// histogram has classic buckets for everybody, and native ones for a Prometheus
// that asks for them.
func histogram(name, help string, buckets ...float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets:                         buckets, // without them, native ones would be all there is
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	})
}

// counterValue reads a counter of our own.
func counterValue(c prometheus.Counter) uint64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}

// histogramValue reads a histogram of our own.
func histogramValue(h prometheus.Histogram) (count uint64, sum float64) {
	var m dto.Metric
	if h.Write(&m) != nil {
		return 0, 0
	}
	return m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
}

// The values of the label topic.
const (
	topicState      = "state"
	topicDeadLetter = "dead_letter"
)

func partitionLabel(id int32) string { return strconv.Itoa(int(id)) }

// observe shows how a partition fares.
func (m *metrics) observe(s *PartitionStatus) {
	label := partitionLabel(s.Partition)
	m.lag.WithLabelValues(label).Set(float64(s.Lag))
	m.end.WithLabelValues(label).Set(float64(s.End))
	m.watermark.WithLabelValues(label).Set(float64(max(0, s.Watermark)))
	m.oldestOf.WithLabelValues(label).Set(timestamp(s.Oldest))
}

// forget removes the series of a partition that was given away.
func (m *metrics) forget(id int32) {
	for _, vec := range []*prometheus.GaugeVec{m.lag, m.end, m.watermark, m.oldestOf, m.restoring} {
		vec.DeleteLabelValues(partitionLabel(id))
	}
}

// timestamp is t in Unix seconds; 0 for none.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
