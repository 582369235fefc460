package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func hmacOf(key, value string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil))
}

var privacies = map[string]struct {
	config PrivacyConfig
	want   map[string]string
}{
	"all":                 {PrivacyConfig{}, map[string]string{"a": "1", "b": "2", "c": "3"}},
	"keep":                {PrivacyConfig{KeepOnly: true, Keep: []string{"a"}}, map[string]string{"a": "1"}},
	"keep none":           {PrivacyConfig{KeepOnly: true}, map[string]string{}},
	"drop":                {PrivacyConfig{Drop: []string{"a", "x"}}, map[string]string{"b": "2", "c": "3"}},
	"hash":                {PrivacyConfig{Hash: []string{"b"}, HashKey: []byte("key")}, map[string]string{"a": "1", "b": hmacOf("key", "2"), "c": "3"}},
	"keep and hash":       {PrivacyConfig{KeepOnly: true, Keep: []string{"a"}, Hash: []string{"b"}, HashKey: []byte("key")}, map[string]string{"a": "1", "b": hmacOf("key", "2")}},
	"keep what is hashed": {PrivacyConfig{KeepOnly: true, Keep: []string{"b"}, Hash: []string{"b"}, HashKey: []byte("key")}, map[string]string{"b": hmacOf("key", "2")}},
	"drop and hash":       {PrivacyConfig{Drop: []string{"c"}, Hash: []string{"b"}, HashKey: []byte("key")}, map[string]string{"a": "1", "b": hmacOf("key", "2")}},
}

// TestPrivacy: requests state what the lists say, and the event stays as it is. Redacted
// records hold the same, and a replay of one sends the same.
func TestPrivacy(t *testing.T) {
	for name, test := range privacies {
		t.Run(name, func(t *testing.T) {
			e := &Event{ID: "e", ExtraInfo: InfoOf(map[string]string{"a": "1", "b": "2", "c": "3"})}
			before := e.Content()
			p := NewPrivacy(test.config)
			if got := p.Apply(e).ExtraInfo; !slices.Equal(got, InfoOf(test.want)) {
				t.Errorf("sent %v, expected %v", got, test.want)
			}
			if e.Content() != before || len(e.ExtraInfo) != 3 {
				t.Error("the event changed")
			}
			if got := NewPrivacy(test.config).Apply(e).ExtraInfo; !slices.Equal(got, InfoOf(test.want)) {
				t.Errorf("another replica sends %v", got)
			}
			redacted, ok := p.Redact([]byte(journeyStart))
			if !ok {
				t.Fatal("not redacted")
			}
			again, fault := Decode(redacted, V3)
			if fault != nil {
				t.Fatalf("%s: %v", redacted, fault)
			}
			if got := p.Apply(again).ExtraInfo; !slices.Equal(got, InfoOf(test.want)) {
				t.Errorf("a replay sends %v, expected %v", got, test.want)
			}
		})
	}
}

const journeyStart = `{"eventId": "e", "requestId": "r", "createTime": "2026-01-02T03:04:05Z", "jobEvent": {"type": "IMPRESSION", "jobs": ["projects/p/jobs/1"]},
  "extraInfo": {"a": "1", "b": "2", "c": "3"}}`

func TestRedact(t *testing.T) {
	p := NewPrivacy(PrivacyConfig{KeepOnly: true, Keep: []string{"kept"}, Hash: []string{"hashed"}, HashKey: []byte("key")})
	mark := HashMark + hmacOf("key", "canary")
	for _, test := range []struct{ value, want string }{
		{`{"extraInfo":{"kept":"k","other":"canary","hashed":"canary"}}`, `{"extraInfo":{"kept":"k","hashed":"` + mark + `"}}`},
		{` { "extra_info" : { "other" : {"deep":["canary"]} } , "n" : 1.50 } `, `{"extra_info":{},"n":1.50}`},
		{`{"jobEvent":{"Extra-Info":{"other":"canary"}},"list":[{"EXTRAINFO":{"hashed":["canary"]}}]}`, `{"jobEvent":{"Extra-Info":{}},"list":[{"EXTRAINFO":{}}]}`},
		{`{"extraInfo":"canary"}`, `{"extraInfo":null}`},
		{`{"extraInfo":["canary"]}`, `{"extraInfo":null}`},
		{`{"extraInfo":{"other":"canary"},"extraInfo":{"other":"canary","kept":1}}`, `{"extraInfo":{},"extraInfo":{"kept":1}}`},
		{`{"extraInfo":{"hashed":"canary","hashed":"canary"}}`, `{"extraInfo":{"hashed":"` + mark + `","hashed":"` + mark + `"}}`},
		{`{"eventId":"<é\u0000>"}`, `{"eventId":"<é\u0000>"}`},
		{`{"extraInfo":{"other":"canary`, ""},
		{`{"extraInfo":{"kept":"k"}} {"canary":1}`, ""},
		{`["canary"]`, ""},
		{`canary`, ""},
		{``, ""},
	} {
		got, ok := p.Redact([]byte(test.value))
		if string(got) != test.want || ok != (test.want != "") {
			t.Errorf("%s: got %s, %t", test.value, got, ok)
		}
		if strings.Contains(string(got), `"canary`) {
			t.Errorf("%s: the canary is in %s", test.value, got)
		}
	}
	var all *Privacy
	if got, ok := all.Redact([]byte("x")); string(got) != "x" || !ok {
		t.Error("without lists, a value changed")
	}
}

// FuzzRedact: a redacted value is JSON, redacting it again changes nothing, and no other
// value passes.
func FuzzRedact(f *testing.F) {
	p := NewPrivacy(PrivacyConfig{KeepOnly: true, Hash: []string{"h"}, HashKey: []byte("key")})
	f.Add(journeyStart)
	f.Add(`{"extraInfo":{"h":"\ud800","x":[{}]}}`)
	f.Fuzz(func(t *testing.T, value string) {
		once, ok := p.Redact([]byte(value))
		if !ok {
			return
		}
		twice, ok := p.Redact(once)
		if !ok || string(twice) != string(once) {
			t.Errorf("%q becomes %q, then %q", value, once, twice)
		}
	})
}
