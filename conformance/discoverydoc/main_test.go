package main

import (
	"bytes"
	"os"
	"testing"
)

// The document in the product is what this version of Google's client gives.
func TestDocumentIsCurrent(t *testing.T) {
	want, err := document()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../../internal/discovery/jobs-v4beta1.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("internal/discovery/jobs-v4beta1.json is not what `go run ./discoverydoc` writes now")
	}
}
