package admin

import (
	"embed"
	"net/http"

	"github.com/clientevents/clientevents/internal/page"
)

//go:embed page
var pageFiles embed.FS

// servePage serves the status page, which fetches from /status what it shows.
func servePage(mux *http.ServeMux) { page.Serve(mux, pageFiles, "page", "/") }
