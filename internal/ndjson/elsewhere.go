package ndjson

import (
	"fmt"
	"strings"

	"github.com/clientevents/clientevents/event"
)

// Elsewhere counts the lines at fault that other versions of the API would take:
// most often it is the version that is wrong then.
type Elsewhere map[event.Version]int

// Add counts a line that is at fault in version v.
func (e Elsewhere) Add(l Line, v event.Version) {
	for _, other := range event.Versions() {
		if other == v {
			continue
		}
		if _, fault := l.Decode(other); fault == nil {
			e[other]++
		}
	}
}

// String says how many lines would be in order in which versions: those that
// would take the most. It is "" where none would take any.
func (e Elsewhere) String() string {
	var best []string
	most := 1
	for _, v := range event.Versions() {
		switch n := e[v]; {
		case n > most:
			most, best = n, []string{v.String()}
		case n == most:
			best = append(best, v.String())
		}
	}
	if len(best) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of them would be valid in %s", most, strings.Join(best, " or "))
}
