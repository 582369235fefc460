// Package page serves a page that is files alone, and that fetches from its own
// server what it shows.
package page

import (
	"io/fs"
	"net/http"
	"path"
)

// policy lets a page load its own files and ask its own server, and nothing
// else: no script but those files, not even in a link or an attribute.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Serve serves index.html of the folder dir of files at "/", and the other
// files in it below prefix, which begins and ends with a slash.
func Serve(mux *http.ServeMux, files fs.FS, dir, prefix string) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		panic(err) // it is embedded in the program
	}
	for _, e := range entries {
		at := prefix + e.Name()
		if e.Name() == "index.html" {
			at = "/{$}"
		}
		mux.HandleFunc("GET "+at, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Security-Policy", policy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, files, path.Join(dir, e.Name()))
		})
	}
}
