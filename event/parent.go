package event

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ClockSkew is how much later than its child a parent may have been created: the
// clocks of two machines differ.
const ClockSkew = 5 * time.Second

// Parents lists the types that may lead to t; none for a type that starts a
// journey.
func (t Type) Parents() []Type { return slices.Clone(t.info().parents) }

// CheckParent returns the fault of an event of type parent, created at created, as the
// parent of e; nil where it may be.
func (e *Event) CheckParent(parent Type, created time.Time) *Fault {
	allowed := e.Type.info().parents
	switch {
	case len(allowed) == 0:
		return mismatch("%s starts a journey and has no parent, but parentEventId names %s", e.Type, article(parent))
	case !slices.Contains(allowed, parent):
		return mismatch("%s can't follow %s: its parent is %s", e.Type, article(parent), oneOf(allowed))
	case created.After(e.Time.Add(ClockSkew)):
		return mismatch("the parent was created at %s, after its child at %s",
			created.UTC().Format(time.RFC3339Nano), e.Time.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

func mismatch(format string, args ...any) *Fault {
	return &Fault{Reason: ReasonParentMismatch, Detail: fmt.Sprintf(format, args...)}
}

func article(t Type) string {
	if strings.ContainsRune("AEIOU", rune(t.String()[0])) {
		return "an " + t.String()
	}
	return "a " + t.String()
}

func oneOf(types []Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	if len(names) == 1 {
		return article(types[0])
	}
	return "one of " + strings.Join(names, ", ")
}
