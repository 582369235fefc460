package talent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// maxPart bounds one part of an answer, in bytes.
const maxPart = 1 << 20

// part is one answer within the answer to a batch.
type part struct {
	contentID  []byte // empty where there is none; valid until the next part
	status     int    // 0 where the part is no HTTP answer
	retryAfter string
	body       []byte // of what was not accepted; valid until the next part
}

// index returns the number of the event that the part answers. The documents show
// <response-X> for a request's <X>; peers also send response-<X>, and <X> or X.
func (p *part) index(id string) (int, bool) {
	of := trimResponse(p.contentID)
	of = trimResponse(bytes.TrimSuffix(bytes.TrimPrefix(of, []byte("<")), []byte(">")))
	name, number, ok := bytes.Cut(of, []byte("+"))
	if !ok || string(bytes.TrimSpace(name)) != id {
		return 0, false
	}
	i, err := strconv.Atoi(string(bytes.TrimSpace(number)))
	return i, err == nil && i >= 0
}

func trimResponse(id []byte) []byte {
	const prefix = "response-"
	if len(id) > len(prefix) && bytes.EqualFold(id[:len(prefix)], []byte(prefix)) {
		return id[len(prefix):]
	}
	return id
}

// result classifies the part.
func (p *part) result(now time.Time) Result {
	if p.status == 0 {
		return Result{}
	}
	return Result{p.status, classify(p.status, p.retryAfter, p.body, now)}
}

// matcher assigns the parts of an answer to the events of a batch.
type matcher struct {
	id        string // of the batch's Content-IDs
	reader    *partReader
	part      part
	results   []Result // of the events, in the batch's order
	anonymous []Result // of the parts without a Content-ID
}

// read reads the results of n events. It returns nil if the answer is complete,
// and otherwise the error that cut it off; the parts before it count all the same.
// Parts without a Content-ID are matched by their order, if none has one and there
// are as many as events. Of two parts for one event the first counts.
func (m *matcher) read(r io.Reader, boundary string, n int) error {
	m.results = append(m.results[:0], make([]Result, n)...)
	m.anonymous = m.anonymous[:0]
	m.reader.reset(r, boundary)
	now := time.Now()
	identified := false
	for {
		err := m.reader.next(&m.part)
		if err != nil && m.part.status == 0 {
			if !errors.Is(err, io.EOF) {
				return err
			}
			break
		}
		if len(m.part.contentID) == 0 {
			if len(m.anonymous) <= n {
				m.anonymous = append(m.anonymous, m.part.result(now))
			}
		} else {
			identified = true
			if i, ok := m.part.index(m.id); ok && i < n && m.results[i].Status == 0 {
				m.results[i] = m.part.result(now)
			}
		}
		if err != nil {
			return err
		}
	}
	if !identified && len(m.anonymous) == n {
		copy(m.results, m.anonymous)
	}
	return nil
}

// missing counts the events without a result.
func (m *matcher) missing() (n int) {
	for i := range m.results {
		if m.results[i].Status == 0 {
			n++
		}
	}
	return n
}

// fail gives the events without a result an error.
func (m *matcher) fail(failure *Error) {
	for i := range m.results {
		if m.results[i].Status == 0 {
			m.results[i].Err = failure
		}
	}
}

// errMalformed is for answers to batches that do not have the expected form.
var errMalformed = errors.New("malformed answer to a batch")

// errEndless is for answers that end before their last delimiter.
var errEndless = fmt.Errorf("%w: it has no last delimiter", errMalformed)

// partReader reads the parts of a multipart answer, and keeps only what matters of
// them. Lines may end with CRLF or LF.
type partReader struct {
	r     *bufio.Reader
	delim []byte // "--" and the boundary
	began bool
	over  bool // the last delimiter was read
	mid   bool // within a line that is longer than the buffer
	size  int  // of the part so far
}

// newPartReader makes a reader, which must be reset before it is used.
func newPartReader() *partReader { return &partReader{r: bufio.NewReaderSize(nil, 16<<10)} }

func (p *partReader) reset(r io.Reader, boundary string) {
	p.r.Reset(r)
	p.delim = append(append(p.delim[:0], "--"...), boundary...)
	p.began, p.over, p.mid = false, false, false
}

// next reads the next part into got; io.EOF after the last. With any other error
// the rest can't be read; got has what was read of the part before it, and its
// status if the status line was read to its end.
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
		return c, errEndless
	}
	return c, err
}

// delimiter reports whether a line is a delimiter, and records whether it is the
// last. At the end of the input only the last is complete.
func (p *partReader) delimiter(line []byte, err error) bool {
	rest, ok := bytes.CutPrefix(line, p.delim)
	if !ok {
		return false
	}
	rest = bytes.TrimSuffix(bytes.TrimSuffix(rest, []byte("\n")), []byte("\r"))
	switch string(bytes.TrimRight(rest, " \t")) { // RFC 2046, 5.1.1: transport padding
	case "":
		return err == nil
	case "--":
		p.over = err == nil || errors.Is(err, io.EOF)
		return p.over
	}
	return false
}

// expectation reads the next chunk of a part and returns the expectation of the
// chunk after it.
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

// digits reads a status code: three digits, then a blank or the end.
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
