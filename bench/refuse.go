package main

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// refusal is what the sink answers for a while instead of taking events.
type refusal struct {
	status int
	until  int64 // Unix nanoseconds
	// after is the Retry-After of the answers, in seconds; 0 for none.
	after int
	// share: one of so many requests is refused; 1 for all.
	share int64
	asked atomic.Int64
}

// refuse reports whether a request is refused, and with what. It notes when its event
// may come again.
func (s *sink) refuse(t *tally, body []byte, now int64) (*refusal, bool) {
	i, ok := numberAfter(body, idPrefix, idDigits)
	known := ok && int(i) < len(t.again)
	if known {
		if at := t.again[i].Swap(0); at != 0 {
			t.retries.Add(1)
			if now < at {
				t.early.Add(1)
			}
		}
	}
	r := s.refusal.Load()
	if r == nil || now >= r.until || r.asked.Add(1)%r.share != 0 {
		return nil, false
	}
	if known && r.after > 0 {
		t.again[i].Store(now + int64(time.Duration(r.after)*time.Second))
	}
	t.refused.Add(1)
	return r, true
}

// line is the status of an answer in HTTP/1.1, and the header that goes with it.
func (r *refusal) line() string {
	switch {
	case r == nil:
		return "200 OK"
	case r.after > 0:
		return fmt.Sprintf("%d %s\r\nRetry-After: %d", r.status, http.StatusText(r.status), r.after)
	}
	return fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
}

// refuseFor is the control that begins a refusal.
func (s *sink) refuseFor(_ http.ResponseWriter, req *http.Request) {
	status, _ := strconv.Atoi(req.FormValue("status"))
	after, _ := strconv.Atoi(req.FormValue("after"))
	share, _ := strconv.ParseInt(req.FormValue("share"), 10, 64)
	d, _ := time.ParseDuration(req.FormValue("for"))
	s.refusal.Store(&refusal{status: status, after: after, share: max(1, share), until: time.Now().Add(d).UnixNano()})
}
