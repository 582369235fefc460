package reporter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/clientevents/clientevents/event"
)

// An HTTP batch is a multipart/mixed body of which each part is a whole HTTP
// request; the answer has a part for each, of the same form and, where requests
// had a Content-ID of <X>, with one of <response-X>
// (developers.google.com/admin-sdk/reports/v1/guides/batch). It is written and
// read by hand: mime/multipart would be a quarter of what a batch costs.

// boundary can't occur in a part at the beginning of a line: an event's JSON is
// one line, and begins with a brace.
const boundary = "clientevents-part"

// maxPart bounds one part of an answer.
const maxPart = 1 << 20

// batchWriter writes HTTP batches. It is for one goroutine.
type batchWriter struct {
	version event.Version
	// before and after stand around a part's number.
	before, after []byte
	event         []byte
}

// newBatchWriter makes a writer of batches to the given path, whose parts have
// the Content-IDs <id+0>, <id+1>, ….
func newBatchWriter(path, id string, v event.Version) *batchWriter {
	return &batchWriter{
		version: v,
		before: []byte("--" + boundary + "\r\nContent-Type: application/http\r\n" +
			"Content-Transfer-Encoding: binary\r\nContent-ID: <" + id + "+"),
		after: []byte(">\r\n\r\nPOST " + path + " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: "),
	}
}

// appendBatch appends the body of a batch.
func (w *batchWriter) appendBatch(b []byte, batch []*event.Delivery) []byte {
	for i, d := range batch {
		w.event = d.AppendRequest(w.event[:0], w.version)
		b = append(b, w.before...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, w.after...)
		b = strconv.AppendInt(b, int64(len(w.event)), 10)
		b = append(b, "\r\n\r\n"...)
		b = append(b, w.event...)
		b = append(b, "\r\n"...)
	}
	return append(b, "--"+boundary+"--\r\n"...)
}

// part is one answer within the answer to a batch.
type part struct {
	contentID  []byte // empty where there is none; valid until the next part
	status     int    // 0 where the part is no HTTP answer
	retryAfter string
	body       []byte // of what was not accepted; valid until the next part
}

// index finds which request the part answers: by its Content-ID, or where it
// has none by its position.
func (p *part) index(id string, position int) (int, bool) {
	if len(p.contentID) == 0 {
		return position, true
	}
	of := bytes.TrimSuffix(bytes.TrimPrefix(p.contentID, []byte("<")), []byte(">"))
	if prefix := "response-"; len(of) > len(prefix) && bytes.EqualFold(of[:len(prefix)], []byte(prefix)) {
		of = of[len(prefix):]
	}
	name, number, ok := bytes.Cut(of, []byte("+"))
	if !ok || string(bytes.TrimSpace(name)) != id {
		return 0, false
	}
	i, err := strconv.Atoi(string(bytes.TrimSpace(number)))
	return i, err == nil && i >= 0
}

// partReader reads the parts of a multipart answer, without keeping more of
// them than matters. Lines may end with CRLF or LF.
//
// A part counts only when the delimiter behind it was read: an answer that was
// cut is not one.
type partReader struct {
	r     *bufio.Reader
	delim []byte // "--" and the boundary
	began bool
	over  bool // the last delimiter was read
	mid   bool // within a line that is longer than the buffer
	size  int  // of the part so far
}

// newPartReader makes a reader that has to be reset before it is used.
func newPartReader() *partReader { return &partReader{r: bufio.NewReaderSize(nil, 16<<10)} }

func (p *partReader) reset(r io.Reader, boundary string) {
	p.r.Reset(r)
	p.delim = append(append(p.delim[:0], "--"...), boundary...)
	p.began, p.over, p.mid = false, false, false
}

// next reads the next part into got; io.EOF after the last. Other errors mean
// that the rest can't be read.
func (p *partReader) next(got *part) error {
	*got = part{contentID: got.contentID[:0], body: got.body[:0]}
	p.size = 0
	for !p.began {
		c, err := p.read()
		if err != nil {
			return err
		}
		p.began = c.delim
	}
	if p.over {
		return io.EOF
	}
	for expect := (*part).outerHeader; ; {
		c, err := p.read()
		switch {
		case err != nil:
			return err
		case c.delim:
			return nil
		case p.size > maxPart:
			return fmt.Errorf("%w: a part of more than %d bytes", errMalformed, maxPart)
		}
		expect = expect(got, c)
	}
}

// chunk is a line, or a piece of one that is long.
type chunk struct {
	text  []byte // with the line's end, if it has one; valid until the next read
	start bool   // it begins a line
	delim bool   // it is a delimiter
}

func (c chunk) line() []byte { return bytes.TrimRight(c.text, "\r\n") }

func (p *partReader) read() (chunk, error) {
	text, err := p.r.ReadSlice('\n')
	c := chunk{text: text, start: !p.mid}
	p.mid = errors.Is(err, bufio.ErrBufferFull)
	p.size += len(text)
	if c.start && !p.mid {
		c.delim = p.delimiter(text, err)
	}
	switch {
	case err == nil, p.mid, c.delim:
		return c, nil
	case errors.Is(err, io.EOF):
		return c, io.ErrUnexpectedEOF
	}
	return c, err
}

// delimiter says whether a line is one, and notes whether it is the last. At
// the end of the input only the last is whole.
func (p *partReader) delimiter(line []byte, err error) bool {
	rest, ok := bytes.CutPrefix(line, p.delim)
	if !ok {
		return false
	}
	switch string(bytes.TrimRight(rest, " \t\r\n")) {
	case "":
		return err == nil
	case "--":
		p.over = err == nil || errors.Is(err, io.EOF)
		return p.over
	}
	return false
}

// expectation is what is made of the next chunk of a part. It returns what is
// expected after it.
type expectation func(*part, chunk) expectation

func (p *part) outerHeader(c chunk) expectation {
	if len(c.line()) == 0 && c.start {
		return (*part).statusLine
	}
	if value, ok := header(c, "Content-ID"); ok {
		p.contentID = append(p.contentID[:0], value...)
	}
	return (*part).outerHeader
}

func (p *part) statusLine(c chunk) expectation {
	line := c.line()
	if len(line) == 0 {
		return (*part).statusLine // RFC 9112, 2.2: ignore empty lines before it
	}
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/"))
	_, rest, found := bytes.Cut(rest, []byte(" "))
	if status := digits(rest); ok && found && c.start && status >= 100 {
		p.status = status
		return (*part).innerHeader
	}
	return (*part).rest
}

// digits reads a status code: three digits, and then nothing or a blank.
func digits(b []byte) (n int) {
	if len(b) < 3 || (len(b) > 3 && b[3] != ' ') {
		return 0
	}
	for _, c := range b[:3] {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}

func (p *part) innerHeader(c chunk) expectation {
	if len(c.line()) == 0 && c.start {
		return (*part).rest
	}
	if value, ok := header(c, "Retry-After"); ok {
		p.retryAfter = string(value)
	}
	return (*part).innerHeader
}

func (p *part) rest(c chunk) expectation {
	if reasonOf(p.status) != "" && len(p.body)+len(c.text) <= maxErrorBody {
		p.body = append(p.body, c.text...)
	}
	return (*part).rest
}

// header returns the value of a header line of that name.
func header(c chunk, name string) (value []byte, ok bool) {
	line := c.line()
	if !c.start || len(line) <= len(name) || line[len(name)] != ':' || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return nil, false
	}
	return bytes.Trim(line[len(name)+1:], " \t"), true
}

// noBatches says whether an answer to a batch means that there is no such
// thing.
func noBatches(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}
