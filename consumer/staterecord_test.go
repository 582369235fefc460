package consumer

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
)

// The bytes are written down: a record of today has to be read by the versions
// of tomorrow.
func TestStateRecordBytes(t *testing.T) {
	e := entry{content: 0xffff_0123456789ab, created: time.UnixMilli(1_000_000_000_000), typ: event.View, reported: noon}
	if got, want := hex.EncodeToString(stateKey(keyOf("hello"))), "72"+"2cf24dba5fb0a30e26e83b2ac5b9e29e"; got != want {
		t.Errorf("key = %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(appendEntry(nil, e)), "01"+"02"+"0123456789ab"+"80c0a8ca9a3a"; got != want {
		t.Errorf("value = %s, want %s", got, want)
	}
	if got, want := string(appendEntry([]byte("before"), e)[:6]), "before"; got != want {
		t.Errorf("appended to %q, got %q", want, got)
	}
	s := session{clean: true, from: 1, to: -1, poison: []int64{64}}
	if got, want := hex.EncodeToString(s.value()), "01"+"01"+"02"+"01"+"8001"; got != want {
		t.Errorf("session = %s, want %s", got, want)
	}
}

func TestStateRecordEntry(t *testing.T) {
	for _, e := range []entry{
		{content: 0, created: time.UnixMilli(0), typ: event.Impression},
		{content: 1<<48 - 1, created: noon.Add(123 * time.Millisecond), typ: event.NotInterested},
		{content: 42, created: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), typ: event.View},
		{content: 42, created: time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), typ: event.View},
	} {
		e.created, e.reported = e.created.UTC(), noon
		k, got, err := parseEntry(stateKey(keyOf("id")), appendEntry(nil, e), noon)
		if err != nil || k != keyOf("id") || got != e {
			t.Errorf("parsed %v, %+v, %v, want %+v", k, got, err, e)
		}
	}
}

func TestStateRecordFaults(t *testing.T) {
	good := appendEntry(nil, entry{content: 1, created: noon, typ: event.View})
	with := func(at int, b byte) []byte {
		v := bytes.Clone(good)
		v[at] = b
		return v
	}
	ok := stateKey(keyOf("id"))
	for _, c := range []struct {
		name       string
		key, value []byte
		want       string
	}{
		{"no key", nil, good, "a key of 0 bytes: want 17"},
		{"a short key", ok[:16], good, "a key of 16 bytes: want 17"},
		{"a long key", append(bytes.Clone(ok), 0), good, "a key of 18 bytes: want 17"},
		{"a key of another kind", append([]byte{'x'}, ok[1:]...), good, `a key of kind 'x': want 'r'`},
		{"no value", ok, nil, "a value of 0 bytes: want"},
		{"a short value", ok, good[:8], "a value of 8 bytes: want"},
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
		{clean: true},
		{from: 5, to: 69},
		{clean: true, from: math.MaxInt64 - 1, to: math.MaxInt64, poison: []int64{0, 7, math.MaxInt64}},
	} {
		got, err := parseSession(s.value())
		if err != nil || got.clean != s.clean || got.from != s.from || got.to != s.to || !slices.Equal(got.poison, s.poison) {
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
		{"nothing", nil, "a session of 0 bytes: want 4 or more"},
		{"too short", []byte{1, 0, 0}, "a session of 3 bytes: want 4 or more"},
		{"a newer format", []byte{2, 0, 0, 0}, "format 2, which this version does not know"},
		{"a newer format that is shorter", []byte{2}, "format 2, which this version does not know"},
		{"an end that is neither clean nor not", []byte{1, 2, 0, 0}, "2 where 1 (clean) or 0 is wanted"},
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
	f.Add(stateKey(keyOf("id")), appendEntry(nil, entry{content: 1, created: noon, typ: event.View}), int64(0))
	f.Add(stateKey(keyOf("id")), appendEntry(nil, entry{created: time.UnixMilli(math.MinInt64), typ: event.View}), int64(math.MaxInt64))
	f.Add([]byte{stateReported}, []byte{stateFormat}, int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, recordKey, value []byte, millis int64) {
		k, e, err := parseEntry(recordKey, value, time.UnixMilli(millis))
		if err != nil {
			return
		}
		if !bytes.Equal(stateKey(k), recordKey) {
			t.Errorf("the key %x was read as %x", recordKey, k)
		}
		again, e2, err := parseEntry(stateKey(k), appendEntry(nil, e), e.reported)
		if err != nil || again != k || e2 != e {
			t.Errorf("%+v was written, and read as %+v, %v", e, e2, err)
		}
		// Whatever was read, the index takes it.
		x := newIndex(time.Hour)
		x.put(k, e)
		got, ok := x.get(k, e.reported)
		if sane := millis > -1<<60 && millis < 1<<60; !sane {
			return
		}
		if !ok || got.typ != e.typ || !got.sameContent(e.content) {
			t.Errorf("the index keeps %+v of %+v (%v)", got, e, ok)
		}
	})
}

func FuzzParseSession(f *testing.F) {
	f.Add(session{clean: true, from: 1, to: 2, poison: []int64{3}}.value())
	f.Add([]byte{stateFormat, 0, 0, 0x80})
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := parseSession(value)
		if err != nil {
			return
		}
		again, err := parseSession(s.value())
		if err != nil || again.clean != s.clean || again.from != s.from || again.to != s.to || !slices.Equal(again.poison, s.poison) {
			t.Errorf("%+v was written, and read as %+v, %v", s, again, err)
		}
	})
}
