package discoverycli

import (
	"fmt"
	"slices"
	"strings"
)

// cursor is a place in the request's structure: field names from the top down.
type cursor []string

func (c cursor) String() string { return strings.Join(c, ".") }

// fault is one fault of the command line: one line for the user, in the words of the
// google-apis-rs programs.
type fault string

func (f fault) Error() string { return string(f) }

func faultf(format string, args ...any) error { return fault(fmt.Sprintf(format, args...)) }

// move returns the place of path relative to c. It does not change c.
//
// A name goes down from c. With a leading dot it goes down from the top; a single dot
// is the top. One dot separates names. Two dots go one level up, three or more as many
// levels as dots: see [levelsUp].
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

// levelsUp returns the levels that a run of two or more dots moves the cursor up.
//
// The documentation uses ".." to go from one structure to the one around it,
// and documents that "..." goes three levels up and each additional dot one more.
// So two dots are one level, and n dots are n levels from three on. No run moves two
// levels; two moves do: "..", "..".
func levelsUp(dots int) int {
	if dots == 2 {
		return 1
	}
	return dots
}
