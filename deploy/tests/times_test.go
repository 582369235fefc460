package tests

import (
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/prometheus/common/model"
)

// TestAlertTimes compares times of alerts with those of the program that they follow.
func TestAlertTimes(t *testing.T) {
	day := 24 * time.Hour
	for _, test := range []struct {
		alert string
		// pattern finds a number of seconds, or of days before "* 86400", in the expression.
		pattern string
		unit    time.Duration
		right   func(time.Duration) bool
		want    string
	}{
		{
			"ClientEventsCertificateExpiresSoon", `< (\d+) \* 86400`, day,
			func(d time.Duration) bool { return d == health.ExpiresSoon }, "the time from which /status shows the certificate",
		},
		{
			"ClientEventsTokenFailing", `time\(\) < (\d+)`, time.Second,
			func(d time.Duration) bool { return d > googleauth.RenewBefore }, "more than the time before its expiry at which a token is renewed",
		},
	} {
		expr := alertOf(t, test.alert).Expr
		m := regexp.MustCompile(test.pattern).FindStringSubmatch(expr)
		if m == nil {
			t.Errorf("%s: no %s in %s", test.alert, test.pattern, expr)
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Duration(n) * test.unit; !test.right(d) {
			t.Errorf("%s: %v: want %s", test.alert, d, test.want)
		}
	}
	// A standstill must show in /status before the page says that its status shows it.
	lasts, err := model.ParseDuration(alertOf(t, "ClientEventsProblem").For)
	if err != nil || time.Duration(lasts) <= health.StalledAfter {
		t.Errorf("ClientEventsProblem waits for %v (%v): want more than %v", lasts, err, health.StalledAfter)
	}
}

func alertOf(t *testing.T, name string) rule {
	t.Helper()
	all := alerts(t)
	i := slices.IndexFunc(all, func(r rule) bool { return r.Alert == name })
	if i < 0 {
		t.Fatalf("there is no alert %s", name)
	}
	return all[i]
}
