package app

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

// batches sends the event without content once more, as an HTTP batch of one. It is
// asked only where the event by itself was refused, so that nothing is created here
// either.
func (ch *check) batches(ctx context.Context, p *prober, to *url.URL, single string) {
	what := "batches " + to.Redacted()
	contentType, body := batchOf(single, emptyEvent(ch.c.API.Version))
	got, err := p.post(ctx, to, contentType, body)
	if err != nil {
		ch.fail(what, err.Error(), "does something in between let /batch pass? Or set report.batch_size to 1")
		return
	}
	switch {
	case got.code == http.StatusNotFound || got.code == http.StatusMethodNotAllowed || got.code == http.StatusNotImplemented:
		ch.note(what, got.status+": the endpoint does not know HTTP batches, so events go one a request", "set report.batch_size to 1, or mend api.endpoint")
	case got.code == http.StatusTooManyRequests:
		ch.note(what, got.status, "the quota is used up at the moment: events will wait")
	case got.code >= 500:
		ch.fail(what, got.status, "try again later; it is the API's fault, or that of something in between")
	case got.code != http.StatusOK:
		ch.fail(what, got.says(), "the endpoint took the same event alone: does something in between let /batch pass? Or set report.batch_size to 1")
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

// partOf says what the one part of the answer to a batch means.
func (ch *check) partOf(what string, got *answer) {
	part, err := readPart(got)
	switch {
	case err != nil:
		ch.fail(what, got.status+", and "+err.Error(), "is this the API? See api.endpoint; or set report.batch_size to 1")
	case part.refuses():
		ch.ok(what, "it takes batches: an event without content was refused in one, as it has to be")
	case part.code == http.StatusTooManyRequests:
		ch.note(what, part.status, "the quota is used up at the moment: events will wait")
	default:
		ch.fail(what, "within a batch, "+part.says(), "the endpoint took the same event alone: set report.batch_size to 1")
	}
}

func readPart(got *answer) (*answer, error) {
	contentType := got.header.Get("Content-Type")
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil, fmt.Errorf("the answer is %q: want multipart/mixed", contentType)
	}
	part, err := multipart.NewReader(bytes.NewReader(got.body), params["boundary"]).NextRawPart()
	if err != nil {
		return nil, fmt.Errorf("the answer has no part: %w", err)
	}
	if id := part.Header.Get("Content-Id"); id != "" && !strings.Contains(id, "check+0") {
		return nil, fmt.Errorf("a part answers %s, which was not asked", id)
	}
	resp, err := http.ReadResponse(bufio.NewReader(part), nil)
	if err != nil {
		return nil, errors.New("its part is not an HTTP answer")
	}
	answered, err := answerOf(resp)
	if err != nil {
		return nil, fmt.Errorf("its part breaks off: %w", err)
	}
	return answered, nil
}
