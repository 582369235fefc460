package event

import (
	"strings"
	"testing"
)

// TestQuickWay: what good records are like goes the quick way, and not the
// walk's, which costs several times as much.
func TestQuickWay(t *testing.T) {
	for _, v := range all {
		for name, data := range map[string]string{
			"plain":       recordWith(v, nil),
			"full":        recordWith(v, full(v)),
			"spaces":      " \t\r\n{ \"eventId\" : \"e\" , \"jobEvent\" : { \"jobs\" : [ \"a\" , \"b\" ] , \"type\" : \"VIEW\" } , \"extraInfo\" : { \"k\" : \"v\" } } \n",
			"snake_case":  `{"event_id":"e","job_event":{"type":"VIEW"}}`,
			"mixed":       `{"event_id":"e","requestId":"r"}`,
			"escapes":     recordWith(v, edits{"eventId": `"\"\\\/\b\f\n\r\t\u00fc\ud83d\ude00\\"`}),
			"other texts": recordWith(v, edits{"eventId": `"Jürgen 😀 ` + "\u007f\u2028" + `"`}),
			"empty":       `{"jobEvent":{"jobs":[]},"extraInfo":{}}`,
			"many jobs":   `{"jobEvent":{"jobs":["a"` + strings.Repeat(`,"b"`, 100) + `]}}`,
		} {
			if _, ok := quick([]byte(data), v); !ok {
				t.Errorf("%s: %s goes the long way: %s", v, name, data)
			}
			checkWays(t, []byte(data), v)
		}
	}
}

// TestPlainLength holds it to its definition, at each place in its eight bytes.
func TestPlainLength(t *testing.T) {
	special := func(b byte) bool { return b < ' ' || b == '"' || b == '\\' }
	for length := range 20 {
		for at := range length {
			for b := range 256 {
				text := []byte(strings.Repeat("\xff", length))
				text[at] = byte(b)
				want := length
				if special(byte(b)) {
					want = at
				}
				if got := plainLength(text); got != want {
					t.Fatalf("plainLength(%q) = %d, want %d", text, got, want)
				}
				if at+1 < length { // what follows changes nothing
					text[at+1] = '!'
					if got := plainLength(text); got != want {
						t.Fatalf("plainLength(%q) = %d, want %d", text, got, want)
					}
				}
			}
		}
	}
}
