package ndjson

import (
	"strings"
	"testing"

	"github.com/clientevents/clientevents/event"
)

func TestElsewhere(t *testing.T) {
	const (
		plain  = `{"eventId":"e","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/1"]}}`
		tenant = `{"eventId":"e","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/tenants/t/jobs/1"]}}`
		notes  = `{"eventId":"e","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/tenants/t/jobs/1"]},"eventNotes":"n"}`
		none   = `{"eventId":"e"}`
	)
	for _, test := range []struct {
		lines   string
		version event.Version
		want    string
	}{
		{"", event.V3, ""},
		{none, event.V3, ""},
		{none + "\n" + plain, event.V4, "1 of them would be valid in v3 or v4beta1"},
		{tenant + "\n" + notes + "\n" + none, event.V3, "2 of them would be valid in v4beta1 or v4"},
		{plain + "\n" + tenant, event.V4, "2 of them would be valid in v4beta1"},
	} {
		found := Elsewhere{}
		for line, err := range Lines(strings.NewReader(test.lines)) {
			if err != nil {
				t.Fatal(err)
			}
			found.Add(line, test.version)
		}
		if got := found.String(); got != test.want {
			t.Errorf("%s in %s: %q, want %q", test.lines, test.version, got, test.want)
		}
	}
}
