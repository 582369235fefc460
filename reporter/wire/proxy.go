package wire

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
)

// newProxied leaves the way by a proxy to net/http, which knows all of their
// kinds.
func newProxied(cfg Config, proxy *url.URL) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyURL(proxy),
		DialContext:         cfg.Dial,
		TLSClientConfig:     cfg.TLS,
		TLSHandshakeTimeout: handshakeTimeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 1 << 10,
		IdleConnTimeout:     idleFor,
		DisableCompression:  true,
	}
}

func doProxied(ctx context.Context, transport *http.Transport, h *Head, body []byte, got *Answer) error {
	// The transport may read the body after it has answered, so it gets its own.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url.String(), bytes.NewReader(bytes.Clone(body)))
	if err != nil {
		return err
	}
	req.Header = h.header
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = got.readFrom(resp)
	return err
}
