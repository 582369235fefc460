package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func loaded(t *testing.T, text string, environ ...string) *Config {
	t.Helper()
	c, err := load("config.yaml", []byte(text), environ)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSettings(t *testing.T) {
	const password = "correct horse"
	c := loaded(t, least+"report:\n  rate: 50\n  linger: 20ms\nsuspicious: {refuse: true}\n",
		"CLIENTEVENTS_REPORT_RATE=70", "CLIENTEVENTS_KAFKA_SASL_PASSWORD="+password,
		"CLIENTEVENTS_KAFKA_SASL_MECHANISM=plain", "CLIENTEVENTS_KAFKA_SASL_USERNAME=me", "CLIENTEVENTS_INPUT_MAPPING=.a,\n.b")
	got := map[string]Setting{}
	for _, s := range c.Settings() {
		got[s.Key.Path] = s
	}
	if len(got) != len(Keys()) {
		t.Fatalf("%d settings for %d keys", len(got), len(Keys()))
	}
	for _, test := range []struct{ key, value, json, origin string }{
		{"kafka.brokers", `["a:9092","b:9092"]`, `["a:9092","b:9092"]`, "config.yaml:2"},
		{"kafka.topic", "events", `"events"`, "config.yaml:3"},
		{"kafka.state_topic", "events.reported", `"events.reported"`, "default"},
		{"report.rate", "70", "70", "environment variable CLIENTEVENTS_REPORT_RATE"},
		{"report.linger", "20ms", `"20ms"`, "config.yaml:10"},
		{"suspicious.refuse", "true", "true", "config.yaml:11"},
		{"dedupe.window", "24h", `"24h"`, "default"},
		{"kafka.tls.ca_file", "", "null", "default"},
		{"kafka.sasl.password", "(secret)", `"(secret)"`, "environment variable CLIENTEVENTS_KAFKA_SASL_PASSWORD"},
		{"input.mapping", `".a,\n.b"`, `".a,\n.b"`, "environment variable CLIENTEVENTS_INPUT_MAPPING"},
	} {
		s := got[test.key]
		text, err := json.Marshal(s.Value())
		if s.String() != test.value || string(text) != test.json || s.Origin.String() != test.origin || err != nil {
			t.Errorf("%s: %q, %s from %s, %v: expected %q, %s from %s", test.key, s, text, s.Origin, err, test.value, test.json, test.origin)
		}
	}
	all, err := json.Marshal(c.Show())
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%s %+v %v", all, *c, c.Settings()); strings.Contains(text, password) {
		t.Error("the settings show the password")
	}
}

// TestHash: replicas differ by the keys that decide about events, and no others.
func TestHash(t *testing.T) {
	base := loaded(t, least).Hash()
	for text, same := range map[string]bool{
		"admin: {listen: ':1'}\n": true, "log: {level: debug}\n": true, "parents: {wait: 30s}\n": true,
		"parents: {wait: 31s}\n": false, "input: {mapping: .a}\n": false,
	} {
		if (loaded(t, least+text).Hash() == base) != same {
			t.Errorf("%s: same hash %t, expected %t", text, !same, same)
		}
	}
	if loaded(t, least, "CLIENTEVENTS_KAFKA_INSTANCE_ID=a").Hash() != base {
		t.Error("the hash changes with the instance ID")
	}
	login := []string{"CLIENTEVENTS_KAFKA_SASL_MECHANISM=plain", "CLIENTEVENTS_KAFKA_SASL_USERNAME=me"}
	one := loaded(t, least, append(login, "CLIENTEVENTS_KAFKA_SASL_PASSWORD=one")...)
	if one.Hash() != loaded(t, least, append(login, "CLIENTEVENTS_KAFKA_SASL_PASSWORD=two")...).Hash() {
		t.Error("the hash depends on the password")
	}
}

// TestChanges compares values and not their spelling.
func TestChanges(t *testing.T) {
	program := filepath.Join(t.TempDir(), "mapping.jq")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(".old")
	withFile := least + "input: {mapping_file: " + program + "}\n"
	old := loaded(t, withFile)
	write(".new")
	for _, test := range []struct {
		name         string
		old, changed *Config
		want         []string
	}{
		{"nothing", loaded(t, least), loaded(t, least), nil},
		{"another spelling", loaded(t, least+"parents: {wait: 90s}\n"), loaded(t, least+"parents: {wait: 1m30s}\n"), nil},
		{"a default that is stated", loaded(t, least), loaded(t, least+"parents: {wait: 30s}\n"), nil},
		{"a value", loaded(t, least), loaded(t, least+"parents: {wait: 40s}\n"), []string{"parents.wait 30s 40s"}},
		{"a list", loaded(t, least), loaded(t, strings.Replace(least, ", b:9092", "", 1)), []string{`kafka.brokers ["a:9092","b:9092"] ["a:9092"]`}},
		{"the topic", loaded(t, least), loaded(t, strings.Replace(least, ": events", ": other", 1)), []string{"kafka.topic events other"}},
		{"the mapping's content", old, loaded(t, withFile), []string{"input.mapping_file .old .new"}},
		{"the mapping's file", loaded(t, least), loaded(t, withFile), []string{"input.mapping_file  " + program}},
	} {
		var got []string
		for _, c := range Changes(test.old, test.changed) {
			got = append(got, c.Key.Path+" "+c.Old+" "+c.New)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, expected %q", test.name, got, test.want)
		}
	}
}
