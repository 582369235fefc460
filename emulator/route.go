package emulator

import (
	"bytes"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/internal/discovery"
)

// call is one call of an API method: an HTTP request, or a part of a batch.
// It is reused for the next call, and must not be kept.
type call struct {
	method string
	// path is still escaped, so that an ID can contain a slash.
	path    string
	header  interface{ Get(name string) string }
	body    []byte
	params  params
	arrived time.Time
	// part is the number of the part in its batch, from 1; 0 for none.
	part int

	// held are the bytes of the budget that the body has.
	held int64

	dec *protojson.Decoder
	// out holds the answer; scratch holds its first form if it is changed
	// afterwards.
	out, scratch []byte
}

// reply is an answer on its way to the client.
type reply struct {
	status int
	header http.Header // beyond Content-Type and Content-Length; may be nil
	body   []byte
	cut    Cut
}

// maxReused bounds the buffers that are kept for the next call.
const maxReused = 1 << 20

func (c *call) release() {
	*c = call{dec: c.dec, out: c.out, scratch: c.scratch}
	if cap(c.out)+cap(c.scratch) > maxReused {
		c.out, c.scratch = nil, nil
	}
	c.dec.Reset(nil)
}

// route is one line of the path table.
type route struct {
	method string
	// segments of the path; "*" matches any one that is not empty.
	segments []string
	handle   func(*Emulator, *call) ([]byte, *apiError)
	// query are the parameters of this method alone.
	query []string
	// response is the schema of the answer, for the parameter fields.
	response func() (*discovery.API, *discovery.Schema)
}

func newRoute(method, pattern string, handle func(*Emulator, *call) ([]byte, *apiError), query ...string) route {
	return route{method: method, segments: strings.Split(pattern, "/"), handle: handle, query: query}
}

func (r *route) match(path string) bool {
	path = strings.TrimPrefix(path, "/")
	for i, want := range r.segments {
		segment, rest, more := strings.Cut(path, "/")
		if verb, ok := strings.CutPrefix(want, "*:"); ok { // such as *:complete
			segment, ok = strings.CutSuffix(segment, ":"+verb)
			if !ok {
				return false
			}
			want = "*"
		}
		if segment == "" || want != "*" && want != segment || more != (i < len(r.segments)-1) {
			return false
		}
		path = rest
	}
	return true
}

// find returns the route of the call, or the 404 or 405 that answers it.
func (e *Emulator) find(c *call) (*route, *apiError) {
	var allowed []string
	for i := range e.routes {
		r := &e.routes[i]
		if !r.match(c.path) {
			continue
		}
		if r.method == c.method {
			return r, nil
		}
		allowed = append(allowed, r.method)
	}
	if allowed == nil {
		return nil, errorf(http.StatusNotFound, "Method not found: %s is not a path of this service.", protojson.Clip(c.path))
	}
	return nil, notAllowed(c.method, c.path, allowed...)
}

func notAllowed(method, path string, allowed ...string) *apiError {
	err := errorf(http.StatusMethodNotAllowed, "%s is not supported by %s, expected %s.", protojson.Clip(method), protojson.Clip(path), strings.Join(allowed, ", "))
	err.header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	return err
}

// parent returns the path without the version before it and the collection behind.
func (c *call) parent() string {
	path := strings.TrimPrefix(c.path, "/")
	path = path[strings.IndexByte(path, '/')+1 : strings.LastIndexByte(path, '/')]
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return path
	}
	return plain
}

// project returns the ID of the project in the path, for messages.
func (c *call) project() string {
	segments := strings.SplitN(strings.TrimPrefix(c.path, "/"), "/", 4)
	if len(segments) < 3 {
		return ""
	}
	return segments[2]
}

// checkContent refuses a body with another Content-Type than JSON. A body without
// Content-Type is JSON.
func (c *call) checkContent() *apiError {
	contentType := c.header.Get("Content-Type")
	if contentType == "" || contentType == "application/json" {
		return nil
	}
	media, attrs, err := mime.ParseMediaType(contentType)
	charset := attrs["charset"]
	if err != nil || media != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return errorf(http.StatusBadRequest, "Unsupported content with type: %s", protojson.Clip(contentType))
	}
	return nil
}

// methodOf returns the method of a request. Some of Google's clients send a POST with
// the method in a header: Java's over REST for PATCH, and Python's for a GET with a
// long query.
func methodOf(r *http.Request) string {
	if method := r.Header.Get("X-HTTP-Method-Override"); method != "" && r.Method == http.MethodPost {
		return method
	}
	return r.Method
}

// takeQuery returns the query. A GET that is sent as a POST has it in the body.
func (c *call) takeQuery(r *http.Request) string {
	if c.method != http.MethodGet || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return r.URL.RawQuery
	}
	query := strings.Trim(r.URL.RawQuery+"&"+string(c.body), "&")
	c.body, c.header = nil, http.Header{}
	return query
}

// answer returns the compact JSON that write appends, in the form that the call
// asked for. It is valid until the next call.
func (c *call) answer(write func([]byte) []byte) ([]byte, *apiError) {
	if c.params.compact && c.params.fields == nil {
		c.out = append(write(c.out[:0]), '\n')
		return c.out, nil
	}
	c.scratch = write(c.scratch[:0])
	body := c.scratch
	var err error
	if c.params.fields != nil {
		if body, err = c.params.fields.apply(body); err != nil {
			return nil, errorf(http.StatusInternalServerError, "The fields of the answer could not be selected: %v", err)
		}
	}
	if c.params.compact {
		c.out = append(c.out[:0], body...)
	} else if c.out, err = jsontext.AppendFormat(c.out[:0], body, jsontext.Multiline(true), jsontext.WithIndent("  ")); err != nil {
		return nil, errorf(http.StatusInternalServerError, "The answer could not be formatted: %v", err)
	}
	c.out = append(c.out, '\n')
	return c.out, nil
}

// headerBlock is a header as it was sent: checked lines of "Name: value". Searching
// it for a few names is cheaper than a map for each part of a batch.
type headerBlock []byte

// Get returns the first value of name, "" for none.
func (b headerBlock) Get(name string) string {
	for line := range bytes.Lines(b) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if ok && len(key) == len(name) && strings.EqualFold(string(key), name) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// addTo sets the names of the block in h.
func (b headerBlock) addTo(h http.Header) {
	var set []string
	for line := range bytes.Lines(b) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		name := http.CanonicalHeaderKey(string(key))
		if !slices.Contains(set, name) {
			h.Del(name)
			set = append(set, name)
		}
		h.Add(name, string(bytes.TrimSpace(value)))
	}
}

// partHeader is the header of a part: its own lines, and those of the whole request
// with other names, except Content-*.
type partHeader struct {
	own   headerBlock
	outer http.Header
}

func (h *partHeader) Get(name string) string {
	if v := h.own.Get(name); v != "" || isContentHeader(name) {
		return v
	}
	return h.outer.Get(name)
}

// all returns the header as a map of its own.
func (h *partHeader) all() http.Header {
	all := http.Header{}
	for name, values := range h.outer {
		if !isContentHeader(name) {
			all[name] = values
		}
	}
	h.own.addTo(all)
	return all
}

func isContentHeader(name string) bool {
	return len(name) >= 8 && strings.EqualFold(name[:8], "Content-")
}
