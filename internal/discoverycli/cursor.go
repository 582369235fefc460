package discoverycli

import (
	"fmt"
	"slices"
	"strings"
)

// cursor is a place in the request's structure: field names from the top down.
type cursor []string

func (c cursor) String() string { return strings.Join(c, ".") }

// fault is one thing wrong with what was typed: one line for the user, worded
// as the google-apis-rs command lines word it.
type fault string

func (f fault) Error() string { return string(f) }

func faultf(format string, args ...any) error { return fault(fmt.Sprintf(format, args...)) }

// move is where path leads from c, which itself stays as it is.
//
// A name goes down from c; one with a leading dot goes down from the top, and a
// lone dot is the top. Between names one dot separates. Two dots go one level
// up, and from three on there are as many levels as dots: see [levelsUp].
func (c cursor) move(path string) (cursor, error) {
	if path == "" {
		return nil, fault("Field names must not be empty.")
	}
	to := slices.Clone(c)
	for i := 0; i < len(path); {
		dots := 0
		for i+dots < len(path) && path[i+dots] == '.' {
			dots++
		}
		name, _, _ := strings.Cut(path[i+dots:], ".")
		switch {
		case dots == 1 && i == 0:
			to = to[:0]
		case dots == 1 && name == "":
			return nil, faultf("'%s': Single field separator may not be last character.", path)
		case dots > 1:
			up := levelsUp(dots)
			if up > len(to) {
				return nil, faultf("'%s': Cannot move up on empty field cursor.", path)
			}
			to = to[:len(to)-up]
		}
		if name != "" {
			to = append(to, name)
		}
		i += dots + len(name)
	}
	return to, nil
}

// levelsUp is how far a run of two or more dots moves the cursor up.
//
// The documentation uses ".." to go from one structure to the one around it,
// and says that "..." goes three levels up and each additional dot one more.
// So it is one level for two dots and n levels for n dots from three on; there
// is no run for two levels, which are two moves: "..", "..".
func levelsUp(dots int) int {
	if dots == 2 {
		return 1
	}
	return dots
}
