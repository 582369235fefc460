package connect

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestMetricsOfBrokerTokens: the token for the brokers has metrics of its own, beside
// those of the API's, and its failures are in the log.
func TestMetricsOfBrokerTokens(t *testing.T) {
	tokens := &tokenserver.Server{}
	server := httptest.NewServer(tokens)
	t.Cleanup(server.Close)
	tokens.URL = server.URL
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", tokens.KeyFile(t, filepath.Join(t.TempDir(), "key.json")))

	registry := prometheus.NewPedanticRegistry()
	var log logText
	logger := slog.New(slog.NewTextHandler(&log, nil))
	api := googleauth.NewKeeper(googleauth.KeeperConfig{Registerer: registry})
	t.Cleanup(api.Close)
	login := googleLogin(t, logger, registry)
	wantSeries(t, registry, map[string]float64{
		"clientevents_kafka_token_refreshes_total google ok": 0, "clientevents_kafka_token_refreshes_total google refused": 0,
		"clientevents_kafka_token_expiry_timestamp_seconds google": 0,
	})
	tokens.Misbehave(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
	})
	if _, _, err := login.Start(t.Context()); err == nil {
		t.Error("a login without a token began")
	}
	login.keeper.Close() // the try is over, and with it what it logs
	wantSeries(t, registry, map[string]float64{"clientevents_kafka_token_refreshes_total google refused": 1, "clientevents_token_refreshes_total refused": 0})
	kafkatest.WaitFor(t, time.Minute, "the failure in the log", func() bool { return strings.Contains(log.String(), "\n") })
	if got := log.String(); !strings.Contains(got, "could not get an access token") || !strings.Contains(got, "for=brokers") {
		t.Errorf("the log is %q", got)
	}

	tokens.Misbehave(nil)
	again := prometheus.NewPedanticRegistry()
	login = googleLogin(t, logger, again)
	t.Cleanup(login.keeper.Close)
	if _, _, err := login.Start(t.Context()); err != nil {
		t.Error(err)
	}
	end := float64(login.keeper.Status().Expiry.UnixMilli()) / 1000
	wantSeries(t, again, map[string]float64{"clientevents_kafka_token_refreshes_total google ok": 1, "clientevents_kafka_token_expiry_timestamp_seconds google": end})
	if end == 0 {
		t.Error("the token has no end")
	}
}

func googleLogin(t *testing.T, log *slog.Logger, reg prometheus.Registerer) *oauthLogin {
	t.Helper()
	login, err := newOAuthLogin(config.OAuth{Provider: config.Google}, Options{Logger: log, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	return login
}

// wantSeries compares series, by their name and the values of their labels.
func wantSeries(t *testing.T, registry *prometheus.Registry, want map[string]float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := []string{f.GetName()}
			for _, l := range m.GetLabel() { // sorted by name
				name = append(name, l.GetValue())
			}
			got[strings.Join(name, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, value := range want {
		if v, ok := got[name]; !ok || v != value {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, value)
		}
	}
}

// logText is a log that is read while it is written.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
