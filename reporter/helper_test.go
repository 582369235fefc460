package reporter

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"testing"
)

// readBatch reads a batch by the library, and checks its form.
func readBatch(t *testing.T, r *http.Request) (ids, parts []string) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Errorf("a batch is %q", r.Header.Get("Content-Type"))
		return
	}
	for m := multipart.NewReader(r.Body, params["boundary"]); ; {
		p, err := m.NextRawPart()
		if errors.Is(err, io.EOF) {
			return ids, parts
		}
		if err != nil {
			t.Errorf("a batch breaks off: %v", err)
			return
		}
		if got := p.Header.Get("Content-Type"); got != "application/http" {
			t.Errorf("a part is %q", got)
		}
		inner, err := http.ReadRequest(bufio.NewReader(p))
		if err != nil {
			t.Errorf("a part is not a request: %v", err)
			return
		}
		if inner.Method != "POST" || inner.RequestURI != "/v3/projects/p/clientEvents" || inner.Header.Get("Content-Type") != "application/json" {
			t.Errorf("a part is %s %s of %s", inner.Method, inner.RequestURI, inner.Header.Get("Content-Type"))
		}
		ids = append(ids, eventID(t, inner.Body))
		parts = append(parts, p.Header.Get("Content-ID"))
	}
}
