// Package oneline makes text of any origin fit for logs, headers and terminals.
package oneline

import "strings"

// Of returns s as one line: control characters and blanks between words
// become one blank, and bytes that are not UTF-8 become U+FFFD.
func Of(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool { return r <= ' ' || r == 0x7F }), " ")
}

// Shorten returns s, or its first bytes and an ellipsis if it has more than
// most bytes. It cuts between characters.
func Shorten(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
