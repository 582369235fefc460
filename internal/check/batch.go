package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// batches sends the empty event again, as an HTTP batch of one. It is called
// only if the API rejected the single event, so that no event is created here
// either.
func (ch *check) batches(ctx context.Context, p *prober, to *url.URL, single string) {
	what := "batches " + to.Redacted()
	contentType, body := batchOf(single, emptyEvent(ch.c.API.Version))
	got, err := p.post(ctx, to, contentType, body)
	if err != nil {
		ch.fail(what, err.Error(), "check that proxies allow /batch, or set report.batch_size to 1")
		return
	}
	switch {
	case got.code == http.StatusNotFound || got.code == http.StatusMethodNotAllowed || got.code == http.StatusNotImplemented:
		ch.note(what, got.status+": the endpoint does not support HTTP batches, so each request has one event", "set report.batch_size to 1, or correct api.endpoint")
	case got.code == http.StatusTooManyRequests:
		ch.note(what, got.status, "the quota is used up: events will wait")
	case got.code >= 500:
		ch.fail(what, got.status, "try again later; the API or a proxy failed")
	case got.code != http.StatusOK:
		ch.fail(what, got.says(), "the endpoint processed the same event alone: check that proxies allow /batch, or set report.batch_size to 1")
	default:
		ch.partOf(what, got)
	}
}

// batchOf is a batch of one request (Google's text on HTTP batches:
// developers.google.com/admin-sdk/reports/v1/guides/batch).
func batchOf(path, event string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, _ := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/http"}, "Content-Id": {"<check+0>"}}) // into memory
	fmt.Fprintf(part, "POST %s HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(event), event)
	_ = w.Close()
	return "multipart/mixed; boundary=" + w.Boundary(), b.String()
}

// partOf reports the meaning of the one part of the answer to a batch.
func (ch *check) partOf(what string, got *answer) {
	part, err := readPart(got)
	switch {
	case err != nil:
		ch.fail(what, got.status+", and "+err.Error(), "check that api.endpoint is the API; or set report.batch_size to 1")
	case part.refuses():
		ch.ok(what, "the API rejected an empty event in a batch, as expected")
	case part.code == http.StatusTooManyRequests:
		ch.note(what, part.status, "the quota is used up: events will wait")
	default:
		ch.fail(what, "within a batch, "+part.says(), "the endpoint processed the same event alone: set report.batch_size to 1")
	}
}

func readPart(got *answer) (*answer, error) {
	contentType := got.header.Get("Content-Type")
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil, fmt.Errorf("the answer is %q: expected multipart/mixed", contentType)
	}
	part, err := multipart.NewReader(bytes.NewReader(got.body), params["boundary"]).NextRawPart()
	if err != nil {
		return nil, fmt.Errorf("the answer has no part: %w", err)
	}
	if id := part.Header.Get("Content-Id"); id != "" && !strings.Contains(id, "check+0") {
		return nil, fmt.Errorf("a part answers %s, which was not requested", id)
	}
	resp, err := http.ReadResponse(bufio.NewReader(part), nil)
	if err != nil {
		return nil, errors.New("its part is not an HTTP response")
	}
	answered, err := answerOf(resp)
	if err != nil {
		return nil, fmt.Errorf("its part is incomplete: %w", err)
	}
	return answered, nil
}
