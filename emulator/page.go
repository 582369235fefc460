package emulator

import (
	"embed"
	"net/http"

	"github.com/clientevents/clientevents/internal/page"
)

//go:embed page
var pageFiles embed.FS

// servePage serves the page at "/", which fetches its data from the paths
// below inspectPath.
func servePage(mux *http.ServeMux) { page.Serve(mux, pageFiles, "page", inspectPath) }
