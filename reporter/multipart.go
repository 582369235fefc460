package reporter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/clientevents/clientevents/event"
)

// An HTTP batch is a multipart/mixed body of which each part is a whole HTTP
// request; the answer has a part for each, of the same form and, where requests
// had a Content-ID of <X>, with one of <response-X>
// (developers.google.com/admin-sdk/reports/v1/guides/batch). It is written and
// read by hand: mime/multipart would be a quarter of what a batch costs.

const boundary = "clientevents-part"

// maxPart bounds one part of an answer.
const maxPart = 1 << 20

// postBatch creates many events with one request. It returns a result for each,
// or an error for all.
func (r *Reporter) postBatch(ctx context.Context, batch []*event.Delivery) ([]*Error, *Error) {
	body := appendBatch(nil, r.single.EscapedPath(), r.cfg.Version, batch)
	var results []*Error
	status, whole := r.exchange(ctx, r.batch, "multipart/mixed; boundary="+boundary, body, func(resp *http.Response) *Error {
		if resp.StatusCode < 200 || resp.StatusCode > 299 {
			return nil
		}
		var failure *Error
		results, failure = r.readAnswer(resp, len(batch))
		return failure
	})
	if whole != nil {
		r.metrics.request(status, whole)
	}
	return results, whole
}

func appendBatch(b []byte, path string, v event.Version, batch []*event.Delivery) []byte {
	size := 0
	for _, d := range batch {
		size += d.Size() + 256 + len(path)
	}
	if cap(b)-len(b) < size {
		b = append(make([]byte, 0, len(b)+size), b...)
	}
	var body []byte
	for i, d := range batch {
		body = d.AppendRequest(body[:0], v)
		b = append(b, "--"+boundary+"\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <"...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, ">\r\n\r\nPOST "...)
		b = append(b, path...)
		b = append(b, " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
		b = append(b, "\r\n\r\n"...)
		b = append(b, body...)
		b = append(b, "\r\n"...)
	}
	return append(b, "--"+boundary+"--\r\n"...)
}

// errNoAnswer is for events of a batch whose part is missing in the answer.
var errNoAnswer = errors.New("the answer to the batch has no part for this event")

// readAnswer reads the result of each of n events out of the answer.
func (r *Reporter) readAnswer(resp *http.Response, n int) ([]*Error, *Error) {
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") || params["boundary"] == "" {
		return nil, &Error{Reason: BadAnswer, Status: resp.StatusCode, Err: fmt.Errorf(
			"the answer to a batch is %q: want multipart/mixed", oneLine(resp.Header.Get("Content-Type")))}
	}
	results := make([]*Error, n)
	answered := make([]bool, n)
	parts := newPartReader(resp.Body, params["boundary"])
	now := time.Now()
	for position := 0; ; position++ {
		p, err := parts.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// What was read is known; of the rest nobody knows what became.
			markUnanswered(results, answered, networkError(err))
			return results, nil
		}
		i, ok := p.index(position)
		if !ok || i >= n || answered[i] {
			continue
		}
		answered[i] = true
		results[i] = p.result(now)
		r.metrics.request(p.status, results[i])
	}
	markUnanswered(results, answered, &Error{Reason: BadAnswer, Err: errNoAnswer})
	return results, nil
}

func markUnanswered(results []*Error, answered []bool, err *Error) {
	for i := range results {
		if !answered[i] {
			results[i] = err
		}
	}
}

// part is one answer within the answer.
type part struct {
	contentID string
	status    int
	retry     string
	body      []byte // of what was not taken
}

// index finds which request the part answers: by its Content-ID, or where it
// has none by its position.
func (p *part) index(position int) (int, bool) {
	if p.contentID == "" {
		return position, true
	}
	id := strings.TrimSuffix(strings.TrimPrefix(p.contentID, "<"), ">")
	i, err := strconv.Atoi(strings.TrimPrefix(id, "response-"))
	return i, err == nil && i >= 0
}

func (p *part) result(now time.Time) *Error {
	header := http.Header{}
	if p.retry != "" {
		header.Set("Retry-After", p.retry)
	}
	return classify(p.status, header, p.body, now)
}

// partReader reads the parts of a multipart answer, without keeping more of
// them than matters. Lines may end with CRLF or LF.
type partReader struct {
	r     *bufio.Reader
	delim []byte // "--" and the boundary
	began bool
	over  bool
}

func newPartReader(r io.Reader, boundary string) *partReader {
	return &partReader{r: bufio.NewReaderSize(r, 16<<10), delim: []byte("--" + boundary)}
}

// next reads the next part; io.EOF after the last.
func (p *partReader) next() (*part, error) {
	if !p.began {
		if err := p.skipTo(nil, 0); err != nil {
			return nil, err
		}
		p.began = true
	}
	if p.over {
		return nil, io.EOF
	}
	got := &part{}
	if err := p.headers(func(name, value string) {
		if strings.EqualFold(name, "Content-ID") {
			got.contentID = value
		}
	}); err != nil {
		return nil, err
	}
	line, err := p.line()
	if err != nil {
		return nil, err
	}
	if got.status, err = parseStatusLine(line); err != nil {
		return nil, err
	}
	if err := p.headers(func(name, value string) {
		if strings.EqualFold(name, "Retry-After") {
			got.retry = value
		}
	}); err != nil {
		return nil, err
	}
	keep := 0
	if reasonOf(got.status) != "" {
		keep = maxErrorBody
	}
	return got, p.skipTo(&got.body, keep)
}

// line reads a line without its end. It is valid until the next read.
func (p *partReader) line() ([]byte, error) {
	line, err := p.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errors.New("a header line that is too long")
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

func (p *partReader) headers(each func(name, value string)) error {
	for count := 0; ; count++ {
		line, err := p.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		if count > 100 {
			return errors.New("a part with more than 100 headers")
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok {
			if interesting(name) {
				each(textproto.TrimString(string(name)), textproto.TrimString(string(value)))
			}
		}
	}
}

// interesting saves making strings of headers that nobody asks for.
func interesting(name []byte) bool {
	return len(name) == len("Content-ID") || len(name) == len("Retry-After")
}

func parseStatusLine(line []byte) (int, error) {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/"))
	if ok {
		if _, rest, ok = bytes.Cut(rest, []byte(" ")); ok && len(rest) >= 3 {
			if status, err := strconv.Atoi(string(rest[:3])); err == nil && status >= 100 {
				return status, nil
			}
		}
	}
	return 0, fmt.Errorf("a part that begins with %q: want a status line", oneLine(string(line)))
}

// skipTo reads to behind the next delimiter, keeping up to keep bytes.
func (p *partReader) skipTo(body *[]byte, keep int) error {
	read := 0
	atStart := true
	for {
		line, err := p.r.ReadSlice('\n')
		whole := err == nil || errors.Is(err, io.EOF)
		if atStart && bytes.HasPrefix(line, p.delim) && whole {
			switch rest := bytes.TrimRight(line[len(p.delim):], " \t\r\n"); string(rest) {
			case "":
				return nil
			case "--":
				p.over = true
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if read += len(line); read > maxPart {
			return fmt.Errorf("a part of more than %d bytes", maxPart)
		}
		if body != nil && len(*body)+len(line) <= keep {
			*body = append(*body, line...)
		}
		atStart = err == nil
	}
}
