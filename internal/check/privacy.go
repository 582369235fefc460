package check

import (
	"fmt"
	"strings"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/config"
)

// privacy reports which extra info is sent, unless all of it is.
func (ch *check) privacy() {
	e := ch.c.Privacy.ExtraInfo
	const what = "privacy.extra_info"
	switch {
	case !e.Limited():
		return
	case ch.c.API.Version != event.V3:
		ch.note(what, fmt.Sprintf("requests of api.version %s have no extraInfo: the lists apply to dead letters and samples only", ch.c.API.Version), "")
	default:
		ch.ok(what, "%s", extraInfoOf(e))
	}
	if ch.c.Privacy.DeadLetters == config.RedactedLetters && !ch.c.Input.PlainEvents() {
		ch.note("privacy.dead_letters", "records are not plain events (input.format, input.mapping): dead letters will have no value and can't be replayed",
			"keep the source topic's records long enough to correct and publish them again")
	}
}

// extraInfoOf describes which extra info is sent.
func extraInfoOf(e config.ExtraInfo) string {
	var parts []string
	switch {
	case e.KeepOnly && len(e.Keep) == 0:
		parts = append(parts, "no key is sent unchanged")
	case e.KeepOnly:
		parts = append(parts, "sent: "+strings.Join(e.Keep, ", "))
	case len(e.Drop) > 0:
		parts = append(parts, "not sent: "+strings.Join(e.Drop, ", "))
	}
	if len(e.Hash) > 0 {
		parts = append(parts, "hashed: "+strings.Join(e.Hash, ", "))
	}
	return strings.Join(parts, "; ")
}
