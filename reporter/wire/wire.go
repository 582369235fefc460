// Package wire posts small requests to one host, for as little as the protocols
// allow.
//
// net/http hands each request to two goroutines of its connection and back, and
// builds and takes apart what is the same each time; for an event of 300 bytes
// that is more than all the rest of its way. Here a [Lane] sends one request
// after another: over HTTP/1.1 on a connection of its own, in its caller's
// goroutine (http1.go); over HTTP/2 on one that lanes share, whose writes they
// put together (http2.go). What is out of the ordinary, such as a chunked answer
// or a proxy, is left to net/http.
//
// It follows no redirects, and sends nothing twice unless it is sure that the
// peer has not read it.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

// Bounds of an answer.
const (
	// maxBody is how much of an answer is kept: enough for what an error says.
	maxBody = 64 << 10
	// maxDiscard is how much more is read so that the connection can be used
	// again.
	maxDiscard = 256 << 10
	// maxAnswerHead bounds status line and headers.
	maxAnswerHead = 256 << 10
)

// errUnprocessed says that the peer did nothing about a request: it can be sent
// again.
var errUnprocessed = errors.New("the request was not read")

// Head is all of a request but its body, for as many requests as wanted.
type Head struct {
	url       *url.URL
	header    http.Header
	authority string
	path      string
	// fields are for HTTP/2: lower-case names, without content-length.
	fields []hpack.HeaderField
	// text is for HTTP/1.1: everything up to the number that is the content's
	// length.
	text []byte
}

// NewHead makes the head of POST requests to a URL. It refuses headers that can't
// be sent, such as one with a line break in it.
func NewHead(to *url.URL, header http.Header) (*Head, error) {
	authority, err := httpguts.PunycodeHostPort(to.Host)
	if err != nil {
		return nil, fmt.Errorf("host %q: %w", to.Host, err)
	}
	h := &Head{url: to, header: header, authority: authority, path: to.RequestURI()}
	h.text = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\n", h.path, h.authority)
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range header[name] {
			// The value is not told: it may be a credential.
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
				return nil, fmt.Errorf("header %q can't be sent: it has characters that no header may have", name)
			}
			h.text = fmt.Appendf(h.text, "%s: %s\r\n", name, value)
			h.fields = append(h.fields, hpack.HeaderField{Name: strings.ToLower(name), Value: value})
		}
	}
	h.text = append(h.text, "Content-Length: "...)
	return h, nil
}

// Answer is what came back. Its memory is used again for the lane's next answer.
type Answer struct {
	// Status is the HTTP status; 0 where none was read.
	Status int
	// These headers are "" where the answer has none.
	ContentType, RetryAfter, Location string
	// Body is the answer's, or the beginning of a long one.
	Body []byte

	lastType string // is most often the next
}

func (a *Answer) reset() { *a = Answer{Body: a.Body[:0], lastType: a.lastType} }

// set notes a header, and says whether it was one that matters.
func (a *Answer) set(name, value []byte) bool {
	switch {
	case bytes.EqualFold(name, []byte("content-type")):
		if string(value) != a.lastType {
			a.lastType = string(value)
		}
		a.ContentType = a.lastType
	case bytes.EqualFold(name, []byte("retry-after")):
		a.RetryAfter = string(value)
	case bytes.EqualFold(name, []byte("location")):
		a.Location = string(value)
	default:
		return false
	}
	return true
}
