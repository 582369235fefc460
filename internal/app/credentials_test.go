package app

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
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
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	api := googleauth.NewKeeper(googleauth.KeeperConfig{Registerer: registry})
	t.Cleanup(api.Close)
	login := newGoogleLogin(logger, registry)
	wantSeries(t, registry, map[string]float64{
		"clientevents_kafka_token_refreshes_total ok": 0, "clientevents_kafka_token_refreshes_total refused": 0,
		"clientevents_kafka_token_expiry_timestamp_seconds": 0,
	})
	tokens.Misbehave(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
	})
	if _, _, err := login.Start(t.Context()); err == nil {
		t.Error("a login without a token began")
	}
	login.keeper.Close() // the try is over, and with it what it logs
	wantSeries(t, registry, map[string]float64{"clientevents_kafka_token_refreshes_total refused": 1, "clientevents_token_refreshes_total refused": 0})
	if got := log.String(); !strings.Contains(got, "could not get an access token") || !strings.Contains(got, "for=brokers") {
		t.Errorf("the log is %q", got)
	}

	tokens.Misbehave(nil)
	again := prometheus.NewPedanticRegistry()
	login = newGoogleLogin(logger, again)
	t.Cleanup(login.keeper.Close)
	if _, _, err := login.Start(t.Context()); err != nil {
		t.Error(err)
	}
	end := float64(login.keeper.Status().Expiry.UnixMilli()) / 1000
	wantSeries(t, again, map[string]float64{"clientevents_kafka_token_refreshes_total ok": 1, "clientevents_kafka_token_expiry_timestamp_seconds": end})
	if end == 0 {
		t.Error("the token has no end")
	}
}

// wantSeries compares series, by their name and the value of their one label.
func wantSeries(t *testing.T, registry *prometheus.Registry, want map[string]float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			if labels := m.GetLabel(); len(labels) > 0 {
				name += " " + labels[0].GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, value := range want {
		if v, ok := got[name]; !ok || v != value {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, value)
		}
	}
}
