// Package terminal makes text from outside safe to print: text that comes from a
// record, a broker or an HTTP answer may hold escape sequences, which a terminal obeys.
package terminal

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns s with every character escaped that a terminal would obey or that
// hides or reorders others: C0 and C1 controls, line ends among them, bidirectional
// and invisible formatting characters, and bytes that are not UTF-8.
func Printable(s string) string { return escape(s, "") }

// Lines returns s as [Printable] does, but keeps its line feeds and tabs.
func Lines(s string) string { return escape(s, "\n\t") }

func escape(s, keep string) string {
	if clean(s, keep) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case !dangerous(r) || strings.ContainsRune(keep, r):
			b.WriteString(s[:n])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[n:]
	}
	return b.String()
}

// clean reports whether nothing in s is to be escaped, as in nearly all texts.
func clean(s, keep string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if dangerous(r) && !strings.ContainsRune(keep, r) {
			return false
		}
	}
	return true
}

// dangerous reports whether a terminal obeys the character, or shows nothing for it:
// the categories control (C0, C1), format (bidirectional overrides and isolates, zero
// width) and the line and paragraph separators.
func dangerous(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

// Writer returns a writer that writes to w as [Lines] does. A character that two writes
// share is escaped byte by byte.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ w io.Writer }

func (w writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.w, Lines(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
