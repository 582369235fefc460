package main

import (
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/internal/rehearse"
)

func TestRehearseFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--last", "-1"}, "--last: -1: expected 0 or more"},
		{[]string{"--samples", "-1"}, "--samples: -1: expected 0 or more"},
		{[]string{"--last", "5", "--since", "1h"}, "expected either --last or --since"},
		{[]string{"--since", "yesterday"}, `--since: "yesterday": expected an RFC 3339 time or a duration`},
	} {
		got := callMain(t.Context(), strings.NewReader(""), append([]string{"rehearse"}, test.args...)...)
		if got.code != exitUsage || !strings.Contains(got.err, test.want) {
			t.Errorf("%v: %+v, want %s", test.args, got, test.want)
		}
	}
	var o rehearse.Options
	if err := rehearsedSpan(&o, ""); err != nil || o.Last != rehearsed {
		t.Errorf("without flags: %+v (%v)", o, err)
	}
	o = rehearse.Options{}
	if err := rehearsedSpan(&o, "2h"); err != nil || o.Last != 0 || time.Since(o.Since).Round(time.Hour) != 2*time.Hour {
		t.Errorf("--since 2h: %+v (%v)", o, err)
	}
}
