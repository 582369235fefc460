package consumer

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
)

// The bytes are written down: a record of today has to be read by the versions
// of tomorrow.
func TestStateRecordBytes(t *testing.T) {
	e := partition.Entry{Content: 0xffff_0123456789ab, Created: time.UnixMilli(1_000_000_000_000), Type: event.View, Reported: noon}
	if got, want := hex.EncodeToString(appendStateKey(nil, partition.KeyOf("hello"))), "72"+"2cf24dba5fb0a30e26e83b2ac5b9e29e"; got != want {
		t.Errorf("key = %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(appendEntry(nil, &e)), "01"+"02"+"0123456789ab"+"80c0a8ca9a3a"; got != want {
		t.Errorf("value = %s, want %s", got, want)
	}
	if got, want := string(appendEntry([]byte("before"), &e)[:6]), "before"; got != want {
		t.Errorf("appended to %q, got %q", want, got)
	}
	s := session{state: sessionClosed, from: 1, to: -1, poison: []int64{64}}
	if got, want := hex.EncodeToString(s.value()), "01"+"01"+"02"+"01"+"8001"; got != want {
		t.Errorf("session = %s, want %s", got, want)
	}
}

func TestStateRecordEntry(t *testing.T) {
	for _, e := range []partition.Entry{
		{Content: 0, Created: time.UnixMilli(0), Type: event.Impression},
		{Content: 1<<48 - 1, Created: noon.Add(123 * time.Millisecond), Type: event.NotInterested},
		{Content: 42, Created: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), Type: event.View},
		{Content: 42, Created: time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), Type: event.View},
	} {
		e.Created, e.Reported = e.Created.UTC(), noon
		k, got, err := parseEntry(appendStateKey(nil, partition.KeyOf("id")), appendEntry(nil, &e), noon)
		if err != nil || k != partition.KeyOf("id") || got != e {
			t.Errorf("parsed %v, %+v, %v, want %+v", k, got, err, e)
		}
	}
}

func TestStateRecordFaults(t *testing.T) {
	good := appendEntry(nil, &partition.Entry{Content: 1, Created: noon, Type: event.View})
	with := func(at int, b byte) []byte {
		v := bytes.Clone(good)
		v[at] = b
		return v
	}
	ok := appendStateKey(nil, partition.KeyOf("id"))
	for _, c := range []struct {
		name       string
		key, value []byte
		want       string
	}{
		{"no key", nil, good, "a key of 0 bytes: expected 17"},
		{"a short key", ok[:16], good, "a key of 16 bytes: expected 17"},
		{"a long key", append(bytes.Clone(ok), 0), good, "a key of 18 bytes: expected 17"},
		{"a key of another kind", append([]byte{'x'}, ok[1:]...), good, `a key of kind 'x': expected 'r'`},
		{"no value", ok, nil, "a value of 0 bytes: expected"},
		{"a short value", ok, good[:8], "a value of 8 bytes: expected"},
		{"a newer format", ok, with(0, 2), "format 2, which this version does not know"},
		{"a newer format that is shorter", ok, []byte{2}, "format 2, which this version does not know"},
		{"no type", ok, with(1, 0), "without a type"},
		{"half a time", ok, good[:len(good)-1], "no varint"},
		{"more behind the time", ok, append(bytes.Clone(good), 0), "no varint"},
		{"a time of 65 bits", ok, append(bytes.Clone(good[:8]), bytes.Repeat([]byte{0xff}, 11)...), "no varint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := parseEntry(c.key, c.value, noon)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestStateRecordSession(t *testing.T) {
	for _, s := range []session{
		{},
		{state: sessionClosed},
		{from: 5, to: 69},
		{state: sessionClosed, from: math.MaxInt64 - 1, to: math.MaxInt64, poison: []int64{0, 7, math.MaxInt64}},
	} {
		got, err := parseSession(s.value())
		if err != nil || got.state != s.state || got.from != s.from || got.to != s.to || !slices.Equal(got.poison, s.poison) {
			t.Errorf("parsed %+v, %v, want %+v", got, err, s)
		}
	}
}

func TestStateRecordSessionFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		value []byte
		want  string
	}{
		{"nothing", nil, "a session of 0 bytes: expected 4 or more"},
		{"too short", []byte{1, 0, 0}, "a session of 3 bytes: expected 4 or more"},
		{"a newer format", []byte{2, 0, 0, 0}, "format 2, which this version does not know"},
		{"a newer format that is shorter", []byte{2}, "format 2, which this version does not know"},
		{"an end that is neither closed nor open", []byte{1, 2, 0, 0}, "state 2: expected 1 (closed) or 0 (open)"},
		{"half an offset", []byte{1, 0, 0, 0x80}, "no varint"},
		{"one offset", []byte{1, 0, 0x80, 0x01}, "without the offsets"},
		{"half a poison offset", []byte{1, 0, 0, 0, 0x80}, "no varint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseSession(c.value)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add(appendStateKey(nil, partition.KeyOf("id")), appendEntry(nil, &partition.Entry{Content: 1, Created: noon, Type: event.View}), int64(0))
	f.Add(appendStateKey(nil, partition.KeyOf("id")), appendEntry(nil, &partition.Entry{Created: time.UnixMilli(math.MinInt64), Type: event.View}), int64(math.MaxInt64))
	f.Add([]byte{stateReported}, []byte{stateFormat}, int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, recordKey, value []byte, millis int64) {
		k, e, err := parseEntry(recordKey, value, time.UnixMilli(millis))
		if err != nil {
			return
		}
		if !bytes.Equal(appendStateKey(nil, k), recordKey) {
			t.Errorf("the key %x was read as %x", recordKey, k)
		}
		again, e2, err := parseEntry(appendStateKey(nil, k), appendEntry(nil, &e), e.Reported)
		if err != nil || again != k || e2 != e {
			t.Errorf("%+v was written, and read as %+v, %v", e, e2, err)
		}
		// Any entry that can be read can be remembered.
		p := partition.New(partition.Config{Rules: Rules{Window: time.Hour}})
		if p.Remember([]partition.Known{{Key: k, Entry: e}}); p.Stats().Known != 1 {
			t.Errorf("%+v is not remembered", e)
		}
	})
}

func FuzzParseSession(f *testing.F) {
	f.Add(session{state: sessionClosed, from: 1, to: 2, poison: []int64{3}}.value())
	f.Add([]byte{stateFormat, 0, 0, 0x80})
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := parseSession(value)
		if err != nil {
			return
		}
		again, err := parseSession(s.value())
		if err != nil || again.state != s.state || again.from != s.from || again.to != s.to || !slices.Equal(again.poison, s.poison) {
			t.Errorf("%+v was written, and read as %+v, %v", s, again, err)
		}
	})
}

var noon = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

// TestUnprovenIsAHeader: the count of dead letters without evidence changes nothing
// in a session's value, so that an older version reads it.
func TestUnprovenIsAHeader(t *testing.T) {
	for _, n := range []int{0, 1, 2} {
		s := session{from: 3, to: 4, poison: []int64{5}, unproven: n}
		without := s
		without.unproven = 0
		if !bytes.Equal(s.value(), without.value()) {
			t.Errorf("the value of a session depends on the count")
		}
		if got := parseUnproven(s.headers()); got != n {
			t.Errorf("a count of %d is read as %d", n, got)
		}
	}
	for _, value := range []string{"", "x", "-1"} {
		if got := parseUnproven([]kafka.Header{header(headerUnproven, value)}); got != 0 {
			t.Errorf("a count of %q is read as %d, want 0", value, got)
		}
	}
}
