package talent

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/oneline"
	"github.com/clientevents/clientevents/internal/scrub"
)

// hide removes from an answer's text what it repeats of the request: secrets and
// personal data (extraInfo, eventNotes). The API quotes values that it
// rejects, and the error pages of some proxies quote whole requests; the text goes
// into logs, the status page and the headers of dead letters.
func (e *Error) hide(secrets *scrub.Scrubber, batch ...*event.Delivery) {
	if e == nil || e.said == "" {
		return
	}
	said := e.said
	e.said = ""
	if echoes(said) {
		e.Err = errors.New("an answer that is not the API's: it repeats the request, and is not shown")
		return
	}
	if len(said) >= maxErrorBody/2 {
		// Its end may be the beginning of a personal value.
		said = said[:len(said)/2]
	}
	said = secrets.Text(said)
	for _, d := range batch {
		for _, value := range d.Personal() {
			said = hideValue(said, value)
		}
	}
	e.Err = errors.New(shorten(said))
}

// echoes reports whether a said quotes a request, which can be escaped in more
// ways than hideValue looks for.
func echoes(said string) bool {
	return slices.ContainsFunc([]string{"Bearer ", `eventId"`, `extraInfo"`, `eventNotes"`, "eventId&", "extraInfo&", "eventNotes&", "eventId%", "extraInfo%", "eventNotes%"},
		func(mark string) bool { return strings.Contains(said, mark) })
}

// hideValue hides a value as it is and as JSON escapes it. A short value is hidden
// only in quotes, since it may be part of any word.
func hideValue(said, value string) string {
	const short = 4
	if value == "" {
		return said
	}
	value = oneline.Of(value) // as the answer's said is
	quoted := strconv.Quote(value)
	said = strings.ReplaceAll(said, quoted, `"`+scrub.Hidden+`"`)
	if len(value) >= short {
		said = strings.ReplaceAll(said, value, scrub.Hidden)
		said = strings.ReplaceAll(said, strings.Trim(quoted, `"`), scrub.Hidden)
	}
	return said
}
