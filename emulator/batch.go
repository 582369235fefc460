package emulator

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxParts is how many calls a batch may hold (the bound that Google's generic
// text on batches gives).
const maxParts = 1000

const answerBoundary = "batch_answer"

// serveBatch answers an HTTP batch: each part by itself, in the order in which
// they came.
func (e *Emulator) serveBatch(w http.ResponseWriter, r *http.Request, body []byte) {
	if e.Faults().NoBatch {
		write(w, errorf(http.StatusNotFound, "The requested URL /batch was not found on this server.").reply(false))
		return
	}
	if r.Method != http.MethodPost {
		write(w, errorf(http.StatusMethodNotAllowed, "Method %s is not allowed for /batch.", clip(r.Method)).reply(false))
		return
	}
	calls, err := e.readBatch(r, body)
	if err != nil {
		write(w, err.reply(false))
		return
	}
	e.store.batch(len(calls))
	var out []byte
	for _, c := range calls {
		answer := reply{}
		if c.err != nil {
			e.store.refused(c.err.code)
			answer = c.err.reply(c.request.params.compact)
		} else {
			answer = e.answer(c.request)
		}
		out = appendPart(out, c.id, answer)
	}
	out = append(out, "--"+answerBoundary+"--\r\n"...)
	if e.Faults().Outage == CutAfter {
		cut(w)
		return
	}
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+answerBoundary)
	_, _ = w.Write(out)
}

// call is one part of a batch.
type call struct {
	id      string
	request request
	err     *apiError
}

func (e *Emulator) readBatch(r *http.Request, body []byte) ([]call, *apiError) {
	kind, media, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") || media["boundary"] == "" {
		return nil, errorf(http.StatusBadRequest, "Failed to parse batch request, error: want Content-Type: multipart/mixed with a boundary, got %q.", clip(r.Header.Get("Content-Type")))
	}
	outer, failed := params{}.with(r.URL.RawQuery)
	if failed != nil {
		return nil, failed
	}
	var calls []call
	parts := multipart.NewReader(bytes.NewReader(body), media["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errorf(http.StatusBadRequest, "Failed to parse batch request, error: %v.", err)
		}
		if len(calls) == maxParts {
			return nil, errorf(http.StatusBadRequest, "The batch request has more than %d calls.", maxParts)
		}
		c := call{id: part.Header.Get("Content-ID")}
		c.request, c.err = readCall(part, r.Header, outer)
		calls = append(calls, c)
	}
	if len(calls) == 0 {
		return nil, errorf(http.StatusBadRequest, "Failed to parse batch request, error: 0 items.")
	}
	return calls, nil
}

// readCall reads the HTTP request within a part. The outer headers hold for it
// where it has none of its own, except those of the content.
func readCall(part *multipart.Part, outer http.Header, p params) (request, *apiError) {
	req := request{params: p}
	if kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type")); err != nil || kind != "application/http" {
		return req, errorf(http.StatusBadRequest, "Want Content-Type: application/http in each part, got %q.", clip(part.Header.Get("Content-Type")))
	}
	inner, err := http.ReadRequest(bufio.NewReader(io.MultiReader(part, strings.NewReader("\r\n\r\n"))))
	if err != nil {
		return req, errorf(http.StatusBadRequest, "The part is not an HTTP request: %v.", err)
	}
	target, err := url.ParseRequestURI(inner.RequestURI)
	if err != nil || target.IsAbs() {
		return req, errorf(http.StatusBadRequest, "Want a path in the part's request line, got %q.", clip(inner.RequestURI))
	}
	body, err := io.ReadAll(inner.Body)
	if err != nil {
		return req, errorf(http.StatusBadRequest, "The part's body ends too early.")
	}
	req.method, req.path, req.header, req.body = inner.Method, target.Path, inner.Header, body
	for name, values := range outer {
		if _, own := req.header[name]; !own && !strings.HasPrefix(name, "Content-") {
			req.header[name] = values
		}
	}
	p, failed := p.with(target.RawQuery)
	req.params = p
	return req, failed
}

func appendPart(b []byte, id string, r reply) []byte {
	b = append(b, "--"+answerBoundary+"\r\nContent-Type: application/http\r\n"...)
	if id != "" {
		b = append(b, "Content-ID: "...)
		if rest, ok := strings.CutPrefix(id, "<"); ok {
			b = append(b, "<response-"+rest...)
		} else {
			b = append(b, "response-"+id...)
		}
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\nHTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = append(b, " "+http.StatusText(r.status)+"\r\nContent-Type: application/json; charset=UTF-8\r\n"...)
	for name, values := range r.header {
		for _, value := range values {
			b = append(b, name+": "+value+"\r\n"...)
		}
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.body)), 10)
	b = append(b, "\r\n\r\n"...)
	b = append(b, r.body...)
	return append(b, "\r\n"...)
}
