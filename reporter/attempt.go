package reporter

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Bounds of what is read and sent.
const (
	// maxBody is the largest request of one event. The API names no limit;
	// this is far above what an event within the other limits can be.
	maxBody = 1 << 20
	// maxErrorBody is how much of an answer that is an error is read.
	maxErrorBody = 64 << 10
	// maxDiscard is how much of an answer that does not matter is read to keep
	// its connection.
	maxDiscard = 256 << 10
)

func newClient(cfg Config) *http.Client {
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dial,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   10 * time.Second,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          cfg.Concurrency,
			MaxIdleConnsPerHost:   cfg.Concurrency, // Go's default of two would open one a request
			IdleConnTimeout:       90 * time.Second,
			ResponseHeaderTimeout: cfg.Timeout,
			WriteBufferSize:       64 << 10,
			ReadBufferSize:        16 << 10,
			DisableCompression:    true, // the answers are small and not kept
		},
		// A redirect would take the credentials along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// apiClient is the header in which Google asks clients to name themselves.
func apiClient(userAgent string) string {
	return "gl-go/" + strings.TrimPrefix(runtime.Version(), "go") + " " + strings.ReplaceAll(userAgent, " ", "-")
}

// post creates one event.
func (r *Reporter) post(ctx context.Context, d *event.Delivery) *Error {
	body := d.AppendRequest(make([]byte, 0, d.Size()), r.cfg.Version)
	if len(body) > maxBody {
		return &Error{Reason: TooLarge, Err: fmt.Errorf("the event is %d bytes as a request: at most %d are sent", len(body), maxBody)}
	}
	answer, err := r.exchange(ctx, r.single, "application/json", body, func(resp *http.Response) *Error {
		if resp.StatusCode >= 200 && resp.StatusCode < 300 {
			return discard(resp.Body)
		}
		return nil
	})
	r.metrics.request(answer, err)
	return err
}

// discard reads an answer to its end, so that its connection can be used again,
// and so that an answer that was cut is not taken for one.
func discard(body io.Reader) *Error {
	if _, err := io.Copy(io.Discard, io.LimitReader(body, maxDiscard)); err != nil {
		return networkError(err)
	}
	return nil
}

// exchange sends one request. read gets an answer whose status it may want to
// read the body of; where it returns nil, the status decides.
func (r *Reporter) exchange(ctx context.Context, to *url.URL, contentType string, body []byte, read func(*http.Response) *Error) (status int, failure *Error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	header := r.header.Clone()
	header.Set("Content-Type", contentType)
	token, failure := r.authorize(ctx, header)
	if failure != nil {
		return 0, failure
	}
	req := (&http.Request{
		Method: http.MethodPost, URL: to, Host: to.Host, Header: header,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		// A connection that was closed while it was idle lets the request be
		// sent again: it was not read.
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}).WithContext(ctx)
	began := time.Now()
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, networkError(err)
	}
	defer resp.Body.Close()
	if failure := read(resp); failure != nil {
		return resp.StatusCode, failure
	}
	r.metrics.duration.Observe(time.Since(began).Seconds())
	var text []byte
	if reasonOf(resp.StatusCode) != "" {
		text, _ = io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	}
	if resp.StatusCode == http.StatusUnauthorized && r.tokens != nil {
		r.tokens.refused(token)
	}
	return resp.StatusCode, classify(resp.StatusCode, resp.Header, text, time.Now())
}

// authorize adds an access token to a request.
func (r *Reporter) authorize(ctx context.Context, header http.Header) (token string, failure *Error) {
	if r.tokens == nil {
		return "", nil
	}
	token, err := r.tokens.get(ctx)
	if err != nil {
		return "", &Error{Reason: Unauthenticated, Err: fmt.Errorf("no access token: %w", err)}
	}
	header.Set("Authorization", "Bearer "+token)
	return token, nil
}

// networkError classifies what went wrong on the way.
func networkError(err error) *Error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, which says nothing new
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || (errors.As(err, &timeout) && timeout.Timeout()) {
		return &Error{Reason: Timeout, Err: err}
	}
	return &Error{Reason: Network, Err: err}
}
