package deadletter

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

func TestReplays(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "3": 3, "999999999": 999_999_999, "-1": 0, "x": 0, "1000000000": 0, "99999999999999999999999": 0,
	} {
		l := Letter{Record: kafkalog.Record{Headers: []kafka.Header{{Key: HeaderReplays, Value: []byte(text)}}}}
		if got := l.Replays(); got != want {
			t.Errorf("%q is %d replays, want %d", text, got, want)
		}
	}
}

// TestSum: a record's identity is the whole SHA-256, so that no producer can make a twin,
// and the border between key and value is a part of it.
func TestSum(t *testing.T) {
	a, b := sumOf(&kafkalog.Record{Key: []byte("ab"), Value: []byte("c")}), sumOf(&kafkalog.Record{Key: []byte("a"), Value: []byte("bc")})
	if a == b || a != sumOf(&kafkalog.Record{Key: []byte("ab"), Value: []byte("c")}) {
		t.Error("records and sums do not correspond")
	}
	if want := sum(sha256.Sum256([]byte("\x00\x00\x00\x00\x00\x00\x00\x02abc"))); a != want {
		t.Errorf("the sum is %x, expected %x", a, want)
	}
}

func TestEventID(t *testing.T) {
	for value, want := range map[string]string{
		`{"eventId":"a"}`: "a", `{"event_id":"b"}`: "b", `{"eventId":7}`: "", "nonsense": "", "": "",
		`{"eventId":"` + strings.Repeat("x", 300) + `"}`: strings.Repeat("x", 300),
	} {
		if got := eventIDOf([]byte(value)); got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}
