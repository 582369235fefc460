package tlsfile_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/tlsfile"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestStore replaces files: the expiry is that of the certificates in use.
func TestStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		day := func(n int) time.Time { return now.Add(time.Duration(n) * 24 * time.Hour).Truncate(time.Second) }
		dir := t.TempDir()
		put := func(name, text string) string {
			t.Helper()
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * filewatch.Every)
			synctest.Wait()
			return path
		}
		oldCA, _ := kafkatest.SelfSigned(t, "old CA", day(1))
		newCA, _ := kafkatest.SelfSigned(t, "new CA", day(90))
		cert, key := kafkatest.SelfSigned(t, "client", day(30))
		later, laterKey := kafkatest.SelfSigned(t, "later", day(60))
		files := filewatch.New(slog.New(slog.DiscardHandler), nil)
		defer files.Close()
		reg := prometheus.NewRegistry()
		s := tlsfile.New(files, nil, reg)
		roots, err := s.Pool("ca", put("ca", oldCA+newCA))
		if err != nil {
			t.Fatal(err)
		}
		pair, err := s.Pair("cert", put("cert", cert), "key", put("key", key))
		if err != nil {
			t.Fatal(err)
		}
		want := func(state string, ca, cert string, caExpires, certExpires time.Time) {
			t.Helper()
			got := s.Expiries(time.Now())
			if len(got) != 2 || got[0] != (tlsfile.Expiry{Key: "ca", Subject: "CN=" + ca, Expires: caExpires.UTC()}) ||
				got[1] != (tlsfile.Expiry{Key: "cert", Subject: "CN=" + cert, Expires: certExpires.UTC()}) {
				t.Errorf("%s: %+v", state, got)
			}
			if pair().Leaf.Subject.CommonName != cert || roots() == nil {
				t.Errorf("%s: the certificate is %s", state, pair().Leaf.Subject)
			}
		}
		want("at first", "old CA", "client", day(1), day(30))
		put("cert", later)
		want("beside the old key", "old CA", "client", day(1), day(30))
		put("key", laterKey)
		want("with its key", "old CA", "later", day(1), day(60))
		time.Sleep(36 * time.Hour)
		want("after the old authority expired", "new CA", "later", day(90), day(60))
		put("ca", oldCA)
		want("all authorities expired", "old CA", "later", day(1), day(60))

		if all, err := reg.Gather(); err != nil || len(all) != 1 || len(all[0].GetMetric()) != 2 ||
			all[0].GetMetric()[0].GetGauge().GetValue() != float64(day(1).Unix()) {
			t.Errorf("%v, %v", all, err)
		}
		if _, err := s.Pool("none", put("none", "")); err == nil || !strings.Contains(err.Error(), "no PEM certificate") {
			t.Errorf("a file without a certificate: %v", err)
		}
	})
}
