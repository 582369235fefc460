package health

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/reporter/talent"
)

var quiet = slog.New(slog.DiscardHandler)

// watched is a tracker that is asked each second.
type watched struct {
	*Tracker
	log bytes.Buffer
	now time.Time
}

func watch() *watched {
	w := &watched{now: noon}
	handler := slog.NewTextHandler(&w.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.MessageKey || a.Key == "reason" || a.Key == "for" || a.Key == "after" {
			return a
		}
		return slog.Attr{}
	}})
	w.Tracker = NewTracker(slog.New(handler), prometheus.NewRegistry())
	return w
}

// pass lets seconds pass in which the facts are as change says.
func (w *watched) pass(seconds int, change func(*Facts)) {
	for range seconds {
		f := facts()
		f.Now = w.now
		change(f)
		w.Observe(f)
		w.now = w.now.Add(time.Second)
	}
}

func (w *watched) want(t *testing.T, lines ...string) {
	t.Helper()
	got := strings.Split(strings.TrimSuffix(w.log.String(), "\n"), "\n")
	if !slices.Equal(got, lines) {
		t.Errorf("the log is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

// metric returns the value of a reason's series.
func (w *watched) metric(t *testing.T, reason Reason) float64 {
	t.Helper()
	var m dto.Metric
	if err := w.since.WithLabelValues(string(reason)).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}

func well(*Facts) {}

// apiSince closes the gate for a reason since a time.
func apiSince(reason talent.Reason, since time.Time) func(*Facts) {
	return func(f *Facts) {
		f.close(reason, "as the API says", map[bool]string{true: "unavailable"}[f.Now.Sub(since) > 10*time.Second])
		f.Reporter.Gate.Since = since
	}
}

// TestChangesOfReasonAreLogged: one line for each change of reason, with the time of
// this reason, a reminder each minute, and one line at the end.
func TestChangesOfReasonAreLogged(t *testing.T) {
	w := watch()
	w.pass(5, well)
	w.pass(75, apiSince(talent.Unavailable, w.now))
	w.pass(20, apiSince(talent.Unauthenticated, w.now))
	w.pass(20, apiSince(talent.Forbidden, w.now))
	w.pass(20, apiSince(talent.Network, w.now))
	w.pass(5, well)
	w.want(t,
		`msg="reporting paused" reason=api_unavailable for=2s`,
		`msg="reporting still paused" reason=api_unavailable for=1m2s`,
		`msg="reporting paused" reason=api_unauthenticated for=2s`,
		`msg="reporting paused" reason=api_forbidden for=2s`,
		`msg="reporting paused" reason=api_unreachable for=2s`,
		`msg="reporting resumed" reason=api_unreachable after=20s`,
	)
}

// TestBrokerThrottlingIsLoggedOnce: a broker's quota holds requests back by the second.
// That has one line at its beginning, and one when it has been over for a while.
func TestBrokerThrottlingIsLoggedOnce(t *testing.T) {
	w := watch()
	throttled := func(f *Facts) { f.Throttled = time.Second }
	for range 30 {
		w.pass(2, throttled)
		w.pass(1, well)
	}
	w.want(t, `msg="problem began" reason=broker_throttled for=3s`)
	w.pass(40, well)
	w.want(t,
		`msg="problem began" reason=broker_throttled for=3s`,
		`msg="problem ended" reason=broker_throttled after=1m59s`)
}

// TestPartitionsShareALine: partitions that wait for the same cause have one line and
// one reminder together.
func TestPartitionsShareALine(t *testing.T) {
	w := watch()
	began := w.now
	w.pass(130, func(f *Facts) {
		f.SchemaRegistry = "connection refused"
		f.Partitions = nil
		for id := range int32(3) {
			f.Partitions = append(f.Partitions, consumer.PartitionStatus{Partition: id, Restored: true, Trouble: consumer.TroubleDecode, TroubleSince: began})
		}
	})
	w.pass(5, well)
	w.want(t,
		`msg="problem began" reason=schema_registry_unavailable for=2s`,
		`msg="problem continues" reason=schema_registry_unavailable for=1m2s`,
		`msg="problem continues" reason=schema_registry_unavailable for=2m2s`,
		`msg="problem ended" reason=schema_registry_unavailable after=2m10s`,
	)
}

// TestFlappingIsNotLoggedEachTime: what comes and goes is logged at most each ten
// seconds, and a short failure not at all.
func TestFlappingIsNotLoggedEachTime(t *testing.T) {
	w := watch()
	for range 10 {
		began := w.now
		w.pass(3, func(f *Facts) {
			f.fail(consumer.TroubleState, kafka.KafkaStorageError)
			f.Partitions[0].TroubleSince = began
		})
		w.pass(1, well)
	}
	if n := strings.Count(w.log.String(), "began"); n < 2 || n > 4 {
		t.Errorf("%d beginnings in 40 s:\n%s", n, &w.log)
	}
	w = watch()
	w.pass(1, func(f *Facts) {
		f.fail(consumer.TroubleFetch, kafka.NotLeaderForPartition)
		f.Partitions[0].TroubleSince = w.now
	})
	w.pass(20, well)
	// A quota that is used up for some seconds is ordinary.
	for range 5 {
		w.pass(5, apiSince(talent.Throttled, w.now))
		w.pass(5, well)
	}
	if w.log.Len() > 0 {
		t.Errorf("logged:\n%s", &w.log)
	}
}

// TestSinceIsRemembered: a problem without a time of its own began when it was first
// seen, and again when its cause became another one.
func TestSinceIsRemembered(t *testing.T) {
	w := watch()
	missing := func(f *Facts) {
		f.Readiness = consumer.Readiness{Cause: "no topic", Err: kafka.UnknownTopicOrPartition}
	}
	w.pass(30, missing)
	f := facts()
	f.Now = w.now
	missing(f)
	if s := w.Report(f).Summary; !s.Since.Equal(noon) || s.Seconds != 30 || !strings.HasPrefix(s.Detail, "Since 12:00:00 UTC (30 s).") && !strings.Contains(s.Detail, "(30 s)") {
		t.Errorf("got %+v, want 30 s since noon", s)
	}
	if got := w.metric(t, NotJoined); got != float64(noon.Unix()) {
		t.Errorf("the metric is %v, want noon", got)
	}
	changed := w.now
	w.pass(5, func(f *Facts) {
		f.Readiness = consumer.Readiness{Cause: "denied", Err: kafka.GroupAuthorizationFailed}
		if s := w.Report(f).Summary; !s.Since.Equal(changed) {
			t.Errorf("since %v, want %v", s.Since, changed)
		}
	})
	w.pass(1, well)
	if got := w.metric(t, NotJoined); got != 0 {
		t.Errorf("the metric is %v, want 0", got)
	}
}
