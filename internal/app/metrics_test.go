package app_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/segmentio/kafka-go"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/quality"
	"github.com/clientevents/clientevents/reporter"
	"github.com/clientevents/clientevents/reporter/talent"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// scrape reads /metrics as it is, and by series ("name{labels}").
func (s *site) scrape(t *testing.T) (text string, series map[string]string) {
	t.Helper()
	resp, err := s.client.Get(s.base + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	series = map[string]string{}
	for line := range strings.Lines(string(data)) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			series[line[:at]] = strings.TrimSpace(line[at:])
		}
	}
	return string(data), series
}

// partitionsOf lists the partitions for which a metric has series.
func partitionsOf(series map[string]string, metric string) (partitions []string) {
	for name := range series {
		if rest, ok := strings.CutPrefix(name, metric+`{partition="`); ok {
			partitions = append(partitions, strings.TrimSuffix(rest, `"}`))
		}
	}
	slices.Sort(partitions)
	return partitions
}

var partitionMetrics = []string{
	"clientevents_consumer_lag", "clientevents_partition_end_offset", "clientevents_partition_watermark_offset",
	"clientevents_partition_oldest_unfinished_timestamp_seconds", "clientevents_state_restore_remaining_records",
	"clientevents_open_transaction_timestamp_seconds",
}

// TestSeriesFromTheStart wants every value of a label to be there at 0 before
// anything happened: a rate needs something to begin with, and an alert must not
// miss the first failure.
func TestSeriesFromTheStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 1, emulator.Options{})
		_, series := r.runSite(t, nil).scrape(t)
		var want []string
		each := func(metric, label string, values ...string) {
			for _, v := range values {
				want = append(want, fmt.Sprintf("%s{%s=%q}", metric, label, v))
			}
		}
		each("clientevents_records_total", "outcome", "reported", "duplicate", "dead_letter", "skipped")
		for _, reason := range event.Reasons() {
			each("clientevents_dead_letters_total", "reason", string(reason))
		}
		for _, typ := range event.V3.Types() {
			each("clientevents_reported_total", "type", typ.String())
		}
		for _, reason := range talent.Reasons() {
			each("clientevents_retries_total", "reason", string(reason))
		}
		each("clientevents_api_requests_total", "code", "200", "400", "401", "403", "404", "408", "409", "413", "429", "500", "502", "503", "504", "error")
		each("clientevents_topic_write_failures_total", "topic", "state", "dead_letter")
		for _, rule := range quality.Rules() {
			each("clientevents_quality_violations_total", "rule", string(rule))
		}
		each("clientevents_paused", "reason", reporter.Pauses()...)
		for _, metric := range []string{
			"fetched_records_total", "rebalances_total", "fetch_failures_total", "commit_failures_total", "lost_offsets_total",
			"throttled_seconds_total", "kafka_throttled_seconds_total", "in_flight", "pending", "waiting_for_parent", "dedupe_entries", "buffered_bytes",
			"quality_journeys_total", "quality_jobs_total", "quality_forgotten_journeys_total",
			"end_to_end_seconds_count", "api_request_duration_seconds_count", "state_write_seconds_count", "rebalance_seconds_count",
			"oldest_unfinished_timestamp_seconds",
		} {
			want = append(want, "clientevents_"+metric)
		}
		for _, name := range want {
			switch value, ok := series[name]; {
			case !ok:
				t.Errorf("there is no series %s", name)
			case value != "0" && !strings.HasPrefix(name, "clientevents_rebalances_total"):
				t.Errorf("%s is %s: want 0", name, value)
			}
		}
	})
}

// TestMetricsUnderLoad lets everything that has a series move, with as many
// partitions as are to be expected, and looks at what a scrape is then.
func TestMetricsUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const partitions, most = 64, 2000
		r := newRig(t, kafkatest.Bubble(t), partitions, emulator.Options{Seed: 1, Faults: emulator.Faults{
			ErrorShares: map[int]float64{400: .01, 403: .01, 409: .01, 429: .01, 500: .01, 503: .01},
		}})
		r.publishMixed(t, 3000)
		s := r.runSite(t, nil)
		var text string
		kafkatest.WaitFor(t, time.Minute, "records to be finished", func() bool {
			_, series := s.scrape(t)
			return series[`clientevents_fetched_records_total`] == "3000" && len(partitionsOf(series, "clientevents_consumer_lag")) == partitions
		})
		text, series := s.scrape(t)
		for _, metric := range partitionMetrics {
			if got := len(partitionsOf(series, metric)); got != partitions {
				t.Errorf("%s has %d series: want %d, one a partition", metric, got, partitions)
			}
		}
		if len(series) >= most {
			t.Errorf("%d series with %d partitions: want fewer than %d", len(series), partitions, most)
		}
		t.Logf("%d series with %d partitions, %d bytes a scrape", len(series), partitions, len(text))
		if retention := series["clientevents_source_retention_seconds"]; retention != "604800" {
			t.Errorf("the source topic keeps records for %s seconds: want 604800, the embedded broker's week", retention)
		}
		promtool(t, text, "check", "metrics", "--extended")
	})
}

// TestHistogramsOfBothKinds wants classic and native buckets in one scrape: a
// Prometheus that asks for native ones must not lose the classic.
func TestHistogramsOfBothKinds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 2, emulator.Options{})
		r.publishMixed(t, 200)
		s := r.runSite(t, nil)
		kafkatest.WaitFor(t, time.Minute, "records to be reported", func() bool {
			_, series := s.scrape(t)
			n, err := strconv.Atoi(series[`clientevents_records_total{outcome="reported"}`])
			return err == nil && n > 100
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		found := map[string]*dto.Histogram{}
		for body := bufio.NewReader(resp.Body); ; {
			family := new(dto.MetricFamily)
			if err := protodelim.UnmarshalFrom(body, family); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if family.GetType() == dto.MetricType_HISTOGRAM && strings.HasPrefix(family.GetName(), "clientevents_") {
				found[family.GetName()] = family.GetMetric()[0].GetHistogram()
			}
		}
		if len(found) < 4 {
			t.Errorf("%d histograms: want the four of the program", len(found))
		}
		for name, h := range found {
			if len(h.GetBucket()) == 0 {
				t.Errorf("%s has no classic buckets", name)
			}
			if h.Schema == nil || (h.GetSampleCount() > 0 && len(h.GetPositiveSpan()) == 0 && h.GetZeroCount() == 0) {
				t.Errorf("%s has no native buckets", name)
			}
		}
	})
}

// promtool runs Prometheus's own checks over text.
func promtool(t *testing.T, text string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("NOT RUN: promtool is missing (Debian: apt-get install prometheus)")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(text)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if out, err := cmd.Output(); err != nil || complaints.Len() > 0 {
		t.Errorf("promtool %s: %v\n%s%.2000s", strings.Join(args, " "), err, &complaints, out)
	}
}

// TestSeriesAfterRebalance wants a replica to tell of its own partitions alone.
func TestSeriesAfterRebalance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 6, emulator.Options{})
		r.publishMixed(t, 300)
		owns := func(s *site, n int) func() bool {
			return func() bool {
				_, series := s.scrape(t)
				return series["clientevents_assigned_partitions"] == fmt.Sprint(n) && len(partitionsOf(series, "clientevents_consumer_lag")) == n
			}
		}
		first := r.runSite(t, nil)
		kafkatest.WaitFor(t, time.Minute, "the first replica to own all", owns(first, 6))
		second := r.runSite(t, nil)
		kafkatest.WaitFor(t, time.Minute, "the second replica to own half", owns(second, 3))
		kafkatest.WaitFor(t, time.Minute, "the first replica to own half", owns(first, 3))
		_, ofFirst := first.scrape(t)
		_, ofSecond := second.scrape(t)
		for _, metric := range partitionMetrics {
			both := append(partitionsOf(ofFirst, metric), partitionsOf(ofSecond, metric)...)
			slices.Sort(both)
			if want := []string{"0", "1", "2", "3", "4", "5"}; !slices.Equal(both, want) {
				t.Errorf("%s is told of partitions %v by the two replicas: want each once", metric, both)
			}
		}
		if n := ofFirst["clientevents_rebalance_seconds_count"]; n == "0" {
			t.Error("the rebalance was not timed")
		}
	})
}

// publishMixed publishes believable records.
func (r *rig) publishMixed(t *testing.T, n int) {
	t.Helper()
	var messages []kafka.Message
	for rec := range journey.New(journey.Options{Seed: 5, Version: event.V3, Start: time.Now()}).Mixed(journey.DemoMix, n) {
		messages = append(messages, kafka.Message{Key: rec.Key, Value: rec.Value})
	}
	r.ProduceByKey(t, r.config.Kafka.Topic, messages...)
}

// TestConfigInfo wants the series to tell configurations apart, and to keep
// secrets out.
func TestConfigInfo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 1, emulator.Options{})
		r.config.Kafka.SASL.Password = "hush"
		info := func() (found string) {
			_, series := r.runSite(t, func(o *app.Options) { c := *r.config; o.Config = &c }).scrape(t)
			for name := range series {
				if strings.HasPrefix(name, "clientevents_config_info{") {
					found = name
				}
			}
			return found
		}
		first := info()
		if !strings.Contains(first, `topic="`+r.config.Kafka.Topic+`"`) || !strings.Contains(first, `group="`+r.config.Kafka.Group+`"`) {
			t.Errorf("%q does not name topic and group", first)
		}
		r.config.Log.Format, r.config.Kafka.SASL.Password = "json", "husher"
		if again := info(); again != first {
			t.Errorf("log.format and a password changed the series: %s, then %s", first, again)
		}
		r.config.Report.BatchSize++
		if other := info(); other == first {
			t.Errorf("report.batch_size did not change the series: %s", other)
		}
	})
}
