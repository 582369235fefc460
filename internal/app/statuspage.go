package app

import (
	_ "embed"
	"html/template"
	"net/http"
	"time"
)

//go:embed statuspage.html
var statusPageText string

var statusPage = template.Must(template.New("status").Funcs(template.FuncMap{
	"since": func(t time.Time) string {
		if t.IsZero() {
			return "–"
		}
		return time.Since(t).Round(time.Second).String()
	},
}).Parse(statusPageText))

// serveStatusPage shows the status to a person. The page is whole in itself, so
// the policy lets nothing else in.
func serveStatusPage(w http.ResponseWriter, s Status) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Refresh", "5")
	_ = statusPage.Execute(w, s)
}
