package consumer

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/consumer/partition"
)

// The bytes of a pause are written down: a later version has to know it.
func TestPauseBytes(t *testing.T) {
	since := time.UnixMilli(1_000_000_000_000)
	if got, want := string(pauseKey)+" "+hex.EncodeToString(pauseValue(since)), "p 01"+"80c0a8ca9a3a"; got != want {
		t.Errorf("a pause is %s, want %s", got, want)
	}
	if got, err := parsePause(pauseValue(since)); err != nil || !got.Equal(since) {
		t.Errorf("parsed %v, %v", got, err)
	}
	if v := pauseValue(time.Time{}); v != nil {
		t.Errorf("the end of a pause is %x, want a tombstone", v)
	}
}

func TestPauseFaults(t *testing.T) {
	for name, test := range map[string]struct{ value, says string }{
		"empty":            {"", "without a time"},
		"no time":          {"\x01", "without a time"},
		"time zero":        {"\x01\x00", "without a time"},
		"something behind": {"\x01\x02\x02", "without a time"},
		"an endless time":  {"\x01\xff", "without a time"},
		"a later format":   {"\x02\x02", "was it written by a newer one?"},
	} {
		if since, err := parsePause([]byte(test.value)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, %v: want an error that says %q", name, since, err, test.says)
		}
	}
}

func TestRecentLetters(t *testing.T) {
	var r recent
	position := func(l *partition.DeadLetter) (int32, int64) { return 3, l.Record.Offset }
	for offset := range int64(keptLetters + 7) {
		r.add([]partition.DeadLetter{{Record: &partition.Record{Offset: offset}}}, position)
	}
	got := r.latest()
	if len(got) != keptLetters || got[0].Offset != keptLetters+6 || got[keptLetters-1].Offset != 7 {
		t.Errorf("%d are kept, %+v to %+v", len(got), got[0], got[len(got)-1])
	}
	var many []partition.DeadLetter
	for offset := range int64(3 * keptLetters) {
		many = append(many, partition.DeadLetter{Record: &partition.Record{Offset: 100 + offset}})
	}
	r.add(many, position)
	if got = r.latest(); len(got) != keptLetters || got[0].Offset != 100+3*keptLetters-1 {
		t.Errorf("of many at once %d are kept, the latest is %+v", len(got), got[0])
	}
}
