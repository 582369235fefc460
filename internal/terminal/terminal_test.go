package terminal

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"plain, ünïcödé, 求人, 😀":           "plain, ünïcödé, 求人, 😀",
		"\x1b[31mred\x1b[0m":              `\x1b[31mred\x1b[0m`,
		"\x1b]0;title\x07":                `\x1b]0;title\x07`,
		"\u009b31m":                       `\u009b31m`,
		"a\u202eb\u2066c\u200bd":          `a\u202eb\u2066c\u200bd`,
		"one\ntwo\rthree\tfour\x00\x7f":   `one\ntwo\rthree\tfour\x00\x7f`,
		"not UTF-8: \xff\x9b31m":          `not UTF-8: \xff\x9b31m`,
		"line\u2028paragraph\u2029\ufeff": `line\u2028paragraph\u2029\ufeff`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("Printable(%q) = %q, want %q", text, got, want)
		}
	}
	if got := Lines("a\tb\n\x1bc\r\n"); got != "a\tb\n\\x1bc\\r\n" {
		t.Errorf("Lines: %q", got)
	}
}

func TestWriter(t *testing.T) {
	var out strings.Builder
	n, err := Writer(&out).Write([]byte("a\x1b\n"))
	if n != 3 || err != nil || out.String() != "a\\x1b\n" {
		t.Errorf("wrote %d, %v: %q", n, err, out.String())
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[31m\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Printable(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, dangerous) {
			t.Errorf("%q became %q", s, got)
		}
		if Printable(got) != got {
			t.Errorf("%q changes again: %q", s, got)
		}
	})
}
