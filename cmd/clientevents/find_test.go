package main

import (
	"strings"
	"testing"
)

func TestFindArguments(t *testing.T) {
	for _, args := range [][]string{{}, {"a", "b"}, {"a", "--request-id", "r"}} {
		got := callMain(t.Context(), strings.NewReader(""), append([]string{"find"}, args...)...)
		if got.code != exitUsage || !strings.Contains(got.err, "expected an event ID or --request-id") {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestFindKeyArguments(t *testing.T) {
	for want, args := range map[string][]string{
		"--key: expected a key that is not empty": {"--key", ""},
		"expected either --key or --partition":    {"--key", "r", "--partition", "0"},
	} {
		got := callMain(t.Context(), strings.NewReader(""), append([]string{"find", "a"}, args...)...)
		if got.code != exitUsage || !strings.Contains(got.err, want) {
			t.Errorf("%v: %+v", args, got)
		}
	}
}
