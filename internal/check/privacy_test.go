package check

import (
	"strings"
	"testing"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/config"
)

// TestPrivacy: check tells which extra info is sent, and that only v3 sends any.
func TestPrivacy(t *testing.T) {
	limited := config.Privacy{ExtraInfo: config.ExtraInfo{KeepOnly: true, Keep: []string{"source"}, Hash: []string{"user"}}}
	redacted := limited
	redacted.DeadLetters = config.RedactedLetters
	for name, test := range map[string]struct {
		version event.Version
		privacy config.Privacy
		mapping string
		want    string
	}{
		"all":      {event.V4, config.Privacy{}, "", ""},
		"v3":       {event.V3, limited, "", "ok    privacy.extra_info: sent: source; hashed: user"},
		"v4":       {event.V4, limited, "", "note  privacy.extra_info: requests of api.version v4 have no extraInfo: the lists apply to dead letters and samples only"},
		"none":     {event.V3, config.Privacy{ExtraInfo: config.ExtraInfo{KeepOnly: true}}, "", "ok    privacy.extra_info: no key is sent unchanged"},
		"drop":     {event.V3, config.Privacy{ExtraInfo: config.ExtraInfo{Drop: []string{"a", "b"}}}, "", "ok    privacy.extra_info: not sent: a, b"},
		"redacted": {event.V3, redacted, "", "ok    privacy.extra_info: sent: source; hashed: user"},
		"mapped":   {event.V3, redacted, ".", "note  privacy.dead_letters: records are not plain events"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &config.Config{API: config.API{Version: test.version}, Privacy: test.privacy, Input: config.Input{Format: "json", Mapping: test.mapping}}
			var all []string
			ch := &check{c: c, sound: true, found: func(f Finding) { all = append(all, f.String()) }}
			ch.privacy()
			if got := strings.Join(all, "\n"); !strings.Contains(got, test.want) || (test.want == "") != (got == "") || !ch.sound {
				t.Errorf("got %q, expected %q", got, test.want)
			}
		})
	}
}
