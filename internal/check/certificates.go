package check

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/internal/tlsfile"
)

// certificates checks when the certificates of the configuration expire.
func (ch *check) certificates(now time.Time) {
	files := ch.c.Certificates()
	for _, key := range slices.Sorted(maps.Keys(files)) {
		what := "certificate " + key
		all, err := tlsfile.Certificates(files[key])
		if err != nil {
			ch.fail(what, err.Error(), "correct "+key)
			continue
		}
		e := tlsfile.FirstExpiry(key, all, now)
		says := fmt.Sprintf("%s expires at %s", e.Subject, e.Expires.UTC().Format(time.RFC3339))
		const do = "replace the file; a running replica uses it without a restart"
		switch left := e.Expires.Sub(now); {
		case left <= 0:
			ch.fail(what, fmt.Sprintf("%s expired at %s", e.Subject, e.Expires.UTC().Format(time.RFC3339)), do)
		case left < health.ExpiresSoon:
			ch.note(what, says, do)
		default:
			ch.ok(what, "%s", says)
		}
	}
}
