package emulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// maxParts is how many calls one batch may hold, the bound in Google's
// general text on HTTP batches.
const maxParts = 1000

// part is one request within a batch.
type part struct {
	method string
	path   string // escaped
	query  string
	header headerBlock
	body   []byte
}

// batchRequest is a batch: its parts, and the header and parameters that they share.
type batchRequest struct {
	header http.Header
	params params
	parts  [][]byte // not parsed yet, so that each has its own error
}

// serveBatch answers POST /batch. Its errors concern the whole batch.
func (e *Emulator) serveBatch(ctx context.Context, st *faultState, c *call, r *http.Request) (reply, *apiError) {
	if c.method != http.MethodPost {
		return reply{}, notAllowed(c.method, c.path, http.MethodPost)
	}
	boundary, err := batchBoundary(r.Header.Get("Content-Type"))
	if err != nil {
		return reply{}, badBatch(err)
	}
	parts, err := splitParts(c.body, boundary)
	if err != nil {
		return reply{}, badBatch(err)
	}
	e.store.countBatch(len(parts))
	return e.callParts(ctx, st, c, batchRequest{header: r.Header, params: c.params, parts: parts}), nil
}

func badBatch(err error) *apiError {
	return errorf(http.StatusBadRequest, "Failed to parse batch request, error: %v.", err)
}

// callParts calls the parts one after the other, with c.
func (e *Emulator) callParts(ctx context.Context, st *faultState, c *call, b batchRequest) reply {
	boundary := "batch_" + strconv.FormatUint(e.batches.Add(1), 36)
	out := make([]byte, 0, 2*len(c.body)+256)
	header := partHeader{outer: b.header}
	c.header = &header
	for i, raw := range b.parts {
		mimeHeader, content, err := cutHeader(raw)
		c.part, header.own = i+1, nil
		var r reply
		if err == nil {
			r, err = e.callPart(ctx, st, c, &header, b.params, mimeHeader, content)
		}
		if err != nil {
			e.store.countRefusal(http.StatusBadRequest)
			r = errorf(http.StatusBadRequest, "Failed to parse part %d of the batch: %v.", i+1, err).reply(b.params)
		}
		if r.cut == NoCut {
			out = appendPart(out, boundary, mimeHeader.Get("Content-ID"), r)
		}
	}
	out = append(out, "--"+boundary+"--\r\n"...)
	return reply{
		status: http.StatusOK,
		header: http.Header{"Content-Type": {"multipart/mixed; boundary=" + boundary}},
		body:   out,
	}
}

// callPart parses one part and calls its method. It returns an error if it can't
// parse the part.
func (e *Emulator) callPart(ctx context.Context, st *faultState, c *call, header *partHeader,
	defaults params, mimeHeader headerBlock, content []byte,
) (reply, error) {
	p, err := parsePart(mimeHeader, content)
	if err != nil {
		return reply{}, err
	}
	c.method, c.path, c.body, header.own = p.method, p.path, p.body, p.header
	var fault *Fault
	if st.Hook != nil {
		fault = st.Hook(&Request{Method: c.method, Path: c.path, Header: header.all(), Body: c.body, Part: c.part})
	}
	var bad *apiError
	c.params, bad = defaults.with(p.query)
	return e.under(ctx, fault, c.params, func() reply {
		if bad != nil {
			return e.refuse(c, bad)
		}
		return e.call(st, c)
	}), nil
}

// appendPart writes the answer to one part.
func appendPart(dst []byte, boundary, contentID string, r reply) []byte {
	dst = append(dst, "--"+boundary+"\r\nContent-Type: application/http\r\n"...)
	if contentID != "" {
		dst = append(dst, "Content-ID: "+responseID(contentID)+"\r\n"...)
	}
	dst = append(dst, "\r\nHTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.status), 10)
	dst = append(dst, " "+http.StatusText(r.status)+"\r\n"...)
	if r.header.Get("Content-Type") == "" {
		dst = append(dst, "Content-Type: application/json; charset=UTF-8\r\n"...)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(r.body)), 10)
	dst = append(dst, "\r\n"...)
	if len(r.header) > 0 {
		var lines bytes.Buffer
		_ = r.header.WriteSubset(&lines, map[string]bool{"Content-Length": true}) // a bytes.Buffer does not fail
		dst = append(dst, lines.Bytes()...)
	}
	dst = append(dst, "\r\n"...)
	dst = append(dst, r.body...)
	return append(dst, "\r\n"...)
}

// responseID returns <response-X> for <X>.
func responseID(id string) string {
	if inner, ok := strings.CutPrefix(id, "<"); ok {
		return "<response-" + inner
	}
	return "response-" + id
}

// batchBoundary returns the boundary in the Content-Type of a batch.
func batchBoundary(contentType string) (string, error) {
	media, attrs, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return "", fmt.Errorf("Content-Type %q: %w", protojson.Clip(contentType), err)
	case media != "multipart/mixed":
		return "", fmt.Errorf("Content-Type is %s, expected multipart/mixed", media)
	}
	boundary := attrs["boundary"]
	if boundary == "" || len(boundary) > 70 { // RFC 2046, 5.1.1
		return "", errors.New("the Content-Type's boundary must have 1 to 70 characters")
	}
	return boundary, nil
}

// splitParts cuts a multipart body at its boundary lines. Lines may end in LF
// or CRLF; the line end before a boundary belongs to the boundary. The closing
// boundary is required: without it the batch is incomplete, and no part of it runs.
func splitParts(body []byte, boundary string) ([][]byte, error) {
	delimiter := []byte("--" + boundary)
	var parts [][]byte
	start := -1 // of the current part
	for at := 0; ; {
		found := bytes.Index(body[at:], delimiter)
		if found < 0 {
			return nil, errors.New("the closing boundary is missing")
		}
		begin := at + found
		end, last, ok := boundaryLine(body, begin, begin+len(delimiter))
		if !ok {
			at = begin + 1
			continue
		}
		if start >= 0 {
			parts = append(parts, body[start:max(start, lineEndBefore(body, begin))])
		}
		if len(parts) > maxParts {
			return nil, fmt.Errorf("the batch holds more than %d calls", maxParts)
		}
		if last {
			if len(parts) == 0 {
				return nil, errors.New("the batch holds no calls")
			}
			return parts, nil
		}
		at, start = end, end
	}
}

// boundaryLine reports whether body[begin:end], a boundary, is a line of its
// own. next is the offset of the line after it.
func boundaryLine(body []byte, begin, end int) (next int, last, ok bool) {
	if begin > 0 && body[begin-1] != '\n' {
		return 0, false, false
	}
	line, _, newline := bytes.Cut(body[end:], []byte("\n"))
	rest, last := bytes.CutPrefix(line, []byte("--"))
	if len(bytes.Trim(rest, " \t\r")) > 0 || !newline && !last {
		return 0, false, false
	}
	return end + len(line) + 1, last, true
}

// lineEndBefore returns i without the line end before it.
func lineEndBefore(body []byte, i int) int {
	if i > 0 && body[i-1] == '\n' {
		i--
		if i > 0 && body[i-1] == '\r' {
			i--
		}
	}
	return i
}

// parsePart reads the HTTP request that a part holds.
func parsePart(mimeHeader headerBlock, content []byte) (part, error) {
	if err := checkEnvelope(mimeHeader); err != nil {
		return part{}, err
	}
	line, rest, _ := bytes.Cut(bytes.TrimLeft(content, "\r\n"), []byte("\n"))
	p, err := parseRequestLine(string(bytes.TrimRight(line, "\r")))
	if err != nil {
		return p, err
	}
	if p.header, p.body, err = cutHeader(rest); err != nil {
		return p, err
	}
	p.body, err = checkLength(p.header.Get("Content-Length"), p.body)
	return p, err
}

func checkEnvelope(h headerBlock) error {
	const want = "application/http"
	if contentType := h.Get("Content-Type"); contentType != want { // parsing it is rarely needed, and slow
		if media, _, err := mime.ParseMediaType(contentType); err != nil || media != want {
			return fmt.Errorf("its Content-Type is %q, expected %s", protojson.Clip(contentType), want)
		}
	}
	switch encoding := strings.ToLower(h.Get("Content-Transfer-Encoding")); encoding {
	case "", "binary", "8bit", "7bit":
		return nil
	default:
		return fmt.Errorf("its Content-Transfer-Encoding is %q, expected binary", protojson.Clip(encoding))
	}
}

// parseRequestLine reads "METHOD /path?query HTTP/1.1". The protocol is optional;
// Google's examples omit it.
func parseRequestLine(line string) (part, error) {
	fields := strings.Split(strings.TrimRight(line, " "), " ")
	if len(fields) < 2 || len(fields) > 3 || len(fields) == 3 && !strings.HasPrefix(fields[2], "HTTP/1.") {
		return part{}, fmt.Errorf("%q is not a request line, expected METHOD /path HTTP/1.1", protojson.Clip(line))
	}
	p := part{method: fields[0]}
	if !isToken([]byte(p.method)) {
		return p, fmt.Errorf("%q is not an HTTP method", protojson.Clip(p.method))
	}
	if !strings.HasPrefix(fields[1], "/") {
		return p, fmt.Errorf("%q is not a path: a part names neither scheme nor host", protojson.Clip(fields[1]))
	}
	p.path, p.query, _ = strings.Cut(fields[1], "?")
	if _, err := url.PathUnescape(p.path); err != nil {
		return p, fmt.Errorf("its path cannot be read: %w", err)
	}
	return p, nil
}

// cutHeader splits b at the blank line that ends the header. Without one, all
// of b is the header, as of a request without a body.
func cutHeader(b []byte) (header headerBlock, rest []byte, err error) {
	for at := 0; at < len(b); {
		line, _, _ := bytes.Cut(b[at:], []byte("\n"))
		next := min(at+len(line)+1, len(b))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			return headerBlock(b[:at]), b[next:], nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(name) || bytes.ContainsFunc(value, isControl) {
			return nil, nil, fmt.Errorf("%q is not a header line, expected Name: value", protojson.Clip(string(line)))
		}
		at = next
	}
	return headerBlock(b), nil, nil
}

// checkLength cuts the body to its Content-Length. Only white space may follow.
func checkLength(length string, body []byte) ([]byte, error) {
	if length == "" {
		return body, nil
	}
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("its Content-Length %q is not a number", protojson.Clip(length))
	}
	if n > len(body) || len(bytes.TrimSpace(body[n:])) > 0 {
		return nil, fmt.Errorf("its Content-Length is %d, the body has %d bytes", n, len(body))
	}
	return body[:n], nil
}

// isControl reports whether c is not allowed in a header's value.
func isControl(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

// isToken reports whether b is a token of RFC 9110, 5.6.2.
func isToken(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return len(b) > 0
}
