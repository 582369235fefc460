package discoverycli

import (
	"strings"
	"testing"
)

func parseCursor(s string) cursor {
	if s == "" {
		return nil
	}
	return strings.Split(s, ".")
}

func TestCursorMove(t *testing.T) {
	tests := []struct {
		from, path string
		want       string
		fault      string
		// original is the result of google-apis-rs where the documentation,
		// which says that "..." goes three levels up, overrides it.
		original string
	}{
		{from: "a", path: "b", want: "a.b"},
		{from: "a", path: ".b", want: "b"},
		{from: "a.b", path: ".", want: ""},
		{from: "a.b", path: "..", want: "a"},
		{from: "a.b.c", path: "...", want: "", original: "a"},
		{from: "a.b.c.d", path: "...", want: "a", original: "a.b"},
		{from: "a.b.c", path: "....", fault: "'....': Cannot move up on empty field cursor.", original: ""},
		{from: "a.b.c.d", path: "....", want: "", original: "a"},
		{from: "a.b.c.d.e", path: "....", want: "a", original: "a.b"},
		{from: "a.b", path: "..c", want: "a.c"},
		{from: "a.b.c.d", path: "...x", want: "a.x", original: "a.b.x"},
		{from: "foo.bar.sub.level", path: "...other", want: "foo.other", original: "foo.bar.other"},
		{from: "a", path: "b..c", want: "a.c"},
		{from: "", path: ".a.b.c...d", want: "d", original: "a.d"},
		{from: "", path: ".a.b.c..d", want: "a.b.d"},
		{from: "a", path: "f.s.o", want: "a.f.s.o"},
		{from: "a", path: ".s.s", want: "s.s"},
		{from: "a.b.c", path: "b..", want: "a.b.c"},
		{from: "", path: "..", fault: "'..': Cannot move up on empty field cursor."},
		{from: "a.b", path: "...", fault: "'...': Cannot move up on empty field cursor.", original: ""},
		{from: "a", path: "b.", fault: "'b.': Single field separator may not be last character."},
		{from: "a", path: ".b.", fault: "'.b.': Single field separator may not be last character."},
		{from: "a", path: "", fault: "Field names must not be empty."},
		{from: "", path: ".", want: ""},
		{from: "", path: "ä.ö", want: "ä.ö"},
	}
	for _, tt := range tests {
		from := parseCursor(tt.from)
		got, err := from.move(tt.path)
		switch {
		case tt.fault != "":
			if err == nil || err.Error() != tt.fault {
				t.Errorf("%q from %q: error %v, want %q", tt.path, tt.from, err, tt.fault)
			}
		case err != nil:
			t.Errorf("%q from %q: %v", tt.path, tt.from, err)
		case got.String() != tt.want:
			t.Errorf("%q from %q = %q, want %q", tt.path, tt.from, got, tt.want)
		}
		if from.String() != tt.from {
			t.Errorf("%q from %q changed where it came from to %q", tt.path, tt.from, from)
		}
	}
}
