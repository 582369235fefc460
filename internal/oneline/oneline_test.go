package oneline

import "testing"

func TestOf(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "",
		" a\r\n\tb  c\x7f":  "a b c",
		"\x00\xff\x1b[31m":  "\uFFFD [31m",
		"spoke to  Jürgen ": "spoke to Jürgen",
	} {
		if got := Of(in); got != want {
			t.Errorf("Of(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, test := range []struct{ in, want string }{{"abcd", "abcd"}, {"abcde", "abcd…"}, {"abcé", "abc…"}} {
		if got := Shorten(test.in, 4); got != test.want {
			t.Errorf("Shorten(%q, 4) = %q, want %q", test.in, got, test.want)
		}
	}
}
