package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/event"
)

func TestSchemaCommand(t *testing.T) {
	for _, v := range event.Versions() {
		want, err := os.ReadFile(filepath.Join("..", "..", "docs", "schema", "client-event."+v.String()+".json"))
		if err != nil {
			t.Fatal(err)
		}
		got := callMain(t.Context(), strings.NewReader(""), "schema", "--api-version", v.String())
		if got != (outcome{0, string(want), ""}) {
			t.Errorf("%s: %+v", v, got)
		}
	}
	if got := callMain(t.Context(), strings.NewReader(""), "schema", "--api-version", "4"); got.code != exitUsage || got.out != "" {
		t.Errorf("a version that is none: %+v", got)
	}
	if got := callMain(t.Context(), strings.NewReader(""), "schema", "v4"); got.code != exitUsage || !strings.Contains(got.err, "takes no arguments") {
		t.Errorf("an argument: %+v", got)
	}
}
