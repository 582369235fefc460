package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestTopOnce: a snapshot of two replicas, of which one is bad.
func TestTopOnce(t *testing.T) {
	serve := func(level string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"summary":{"level":"` + level + `","headline":"it is ` + level + `","advice":"do it"}}`))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	well, bad := serve("ok"), serve("bad")
	if code, out, errs := command(t, "", "top", "--once", "--url", well); code != exitDone || !strings.Contains(out, "1/1 replicas") || errs != "" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	code, out, errs := command(t, "", "top", "--once", "--url", well+","+bad)
	if code != exitFailed || !strings.Contains(out, "2/2 replicas") || !strings.Contains(out, "it is bad") || strings.Count(out, "\n") != 1 || errs != "" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	code, out, _ = command(t, "", "top", "--once", "--json", "--url", well, "--url", bad)
	if code != exitFailed || strings.Count(out, "\n") != 2 || !strings.Contains(out, `{"url":"`+bad+`","summary":{"level":"bad"`) {
		t.Errorf("exit %d, %q", code, out)
	}
	if code, _, _ = command(t, "", "admin", "status", "--url", bad); code != exitFailed {
		t.Errorf("admin status of a bad replica ends with %d", code)
	}
	for _, args := range []string{"top --url nowhere", "top --every 1ms", "top extra"} {
		if code, _, errs := command(t, "", strings.Fields(args)...); code != exitUsage || errs == "" {
			t.Errorf("%s: exit %d, %q", args, code, errs)
		}
	}
}
