package reporter

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/clientevents/clientevents/event"
)

// hide takes out of an answer's text what it repeats of the request: the access
// token, and what people wrote (extraInfo, eventNotes). The API quotes values
// that it does not like, and some proxies' error pages have whole requests in
// them; the text goes into logs, the status page and dead letters' headers.
func (e *Error) hide(token string, batch []*event.Delivery) {
	if e == nil || e.said == "" {
		return
	}
	text := e.said
	e.said = ""
	if echoes(text) {
		e.Err = errors.New("an answer that is not the API's: it repeats the request, and is not shown")
		return
	}
	if len(text) >= maxErrorBody/2 {
		// Its end may be the beginning of a secret.
		text = text[:len(text)/2]
	}
	text = hideValue(text, token)
	for _, d := range batch {
		text = hideValue(text, d.Notes)
		for _, value := range d.ExtraInfo {
			text = hideValue(text, value)
		}
	}
	e.Err = errors.New(shorten(text))
}

// echoes says whether a text has a request in it, which may be spelled in more
// ways than can be looked for.
func echoes(text string) bool {
	return slices.ContainsFunc([]string{"Bearer ", `eventId"`, `extraInfo"`, `eventNotes"`, "eventId&", "extraInfo&", "eventNotes&", "eventId%", "extraInfo%", "eventNotes%"},
		func(mark string) bool { return strings.Contains(text, mark) })
}

const hidden = "(hidden)"

// hideValue hides a value as it is, and as JSON spells it. A short one is hidden
// only where it is quoted, since it may be part of any word.
func hideValue(text, value string) string {
	const short = 4
	if value == "" {
		return text
	}
	value = flatten(value) // as the text is
	quoted := strconv.Quote(value)
	text = strings.ReplaceAll(text, quoted, `"`+hidden+`"`)
	if len(value) >= short {
		text = strings.ReplaceAll(text, value, hidden)
		text = strings.ReplaceAll(text, strings.Trim(quoted, `"`), hidden)
	}
	return text
}
