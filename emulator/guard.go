package emulator

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// foreign returns the refusal of a request that a page of another site makes in a
// browser: with an Origin that is not the emulator's, or loading an answer as a
// script or an image. Other programs send neither header.
func foreign(r *http.Request) *apiError {
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return errorf(http.StatusForbidden, "The Origin %.200q is another site's: the emulator does not answer pages of other sites.", origin)
		}
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "cross-site", "same-site":
		if r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Method != http.MethodGet {
			return errorf(http.StatusForbidden, "The request comes from another site (Sec-Fetch-Site: %s): the emulator does not answer pages of other sites.", site)
		}
	}
	return nil
}

// unknownHost returns the refusal of a request for the page or one of the paths
// beside the API whose Host is neither an address, nor localhost, nor one of the
// names in Options.Hosts. Another site's owner may have pointed an unknown name at
// this machine.
func (e *Emulator) unknownHost(r *http.Request) *apiError {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	if net.ParseIP(host) != nil || strings.EqualFold(host, "localhost") ||
		slices.ContainsFunc(e.hosts, func(known string) bool { return strings.EqualFold(known, host) }) {
		return nil
	}
	return errorf(http.StatusForbidden, "The Host %.200q is unknown: use an address or localhost, or start the emulator with --hosts.", r.Host)
}

// budget bounds the bytes of all request bodies in progress. Requests wait in the
// order of their arrival.
type budget struct {
	mu      sync.Mutex
	total   int64
	free    int64
	waiting []*claim
}

// claim is a request that waits for its share.
type claim struct {
	bytes   int64
	granted chan struct{}
}

func newBudget(total int64) *budget { return &budget{total: total, free: total} }

// take waits for the bytes, at most the whole budget, and returns the number to
// give back. ok is false if the context is done before.
func (b *budget) take(ctx context.Context, bytes int64) (taken int64, ok bool) {
	bytes = min(bytes, b.total)
	b.mu.Lock()
	if len(b.waiting) == 0 && b.free >= bytes {
		b.free -= bytes
		b.mu.Unlock()
		return bytes, true
	}
	c := &claim{bytes, make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()
	select {
	case <-c.granted:
		return bytes, true
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, c); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	} else {
		b.free += bytes // granted at the same moment
	}
	b.grant()
	return 0, false
}

// give gives bytes back.
func (b *budget) give(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += bytes
	b.grant()
}

func (b *budget) grant() {
	for len(b.waiting) > 0 && b.free >= b.waiting[0].bytes {
		b.free -= b.waiting[0].bytes
		close(b.waiting[0].granted)
		b.waiting = b.waiting[1:]
	}
}
