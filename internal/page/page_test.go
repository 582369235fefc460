package page

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
)

func TestServe(t *testing.T) {
	mux := http.NewServeMux()
	Serve(mux, fstest.MapFS{
		"site/index.html": {Data: []byte("<p>Hello")},
		"site/page.css":   {Data: []byte("p {}")},
		"elsewhere.css":   {Data: []byte("a {}")},
	}, "site", "/below/")
	for path, want := range map[string]struct {
		code       int
		kind, body string
	}{
		"/":                   {200, "text/html; charset=utf-8", "<p>Hello"},
		"/below/page.css":     {200, "text/css; charset=utf-8", "p {}"},
		"/page.css":           {code: 404},
		"/below/":             {code: 404},
		"/below/index.html":   {code: 404},
		"/elsewhere.css":      {code: 404},
		"/below/../site/page": {code: 307}, // to its clean form, by the mux
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if w.Code != want.code || want.code == 200 && (w.Body.String() != want.body || w.Header().Get("Content-Type") != want.kind) {
			t.Errorf("%s: %d %q %q, want %+v", path, w.Code, w.Header().Get("Content-Type"), w.Body, want)
		}
		if got := w.Header().Get("Content-Security-Policy"); want.code == 200 && got != policy {
			t.Errorf("%s: policy %q", path, got)
		}
	}
}
