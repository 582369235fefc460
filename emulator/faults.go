package emulator

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Outage is a way in which the whole service fails.
type Outage string

// The outages.
const (
	Healthy     Outage = ""
	Unavailable Outage = "unavailable" // 503 to everything
	Hang        Outage = "hang"        // no answer until the client gives up
	Refused     Outage = "refused"     // the connection is closed without an answer
	CutHeaders  Outage = "cut-headers" // the connection breaks within the answer's headers
	CutBody     Outage = "cut-body"    // the connection breaks within the answer's body
	CutAfter    Outage = "cut-after"   // the event is accepted, and then the connection breaks
)

// Outages lists all outages.
func Outages() []Outage {
	return []Outage{Unavailable, Hang, Refused, CutHeaders, CutBody, CutAfter}
}

// Faults is how an emulator misbehaves. The zero value does not.
type Faults struct {
	// Latency passes before each answer, and up to Jitter more.
	Latency, Jitter time.Duration
	// Errors are HTTP statuses with the share of calls, 0 to 1, that they are
	// answered to.
	Errors map[int]float64
	// Quota bounds how many calls are taken; each part of a batch is a call.
	Quota Quota
	// Outage fails the service as a whole.
	Outage Outage
	// Refuse answers this status to every call; 0 does not.
	Refuse        int
	RefuseMessage string
	// NoBatch answers 404 to HTTP batches.
	NoBatch bool
}

// Faults is how the emulator misbehaves at the moment.
func (e *Emulator) Faults() Faults { return *e.faults.Load() }

// SetFaults changes how it misbehaves, from the next request on.
func (e *Emulator) SetFaults(f Faults) { e.faults.Store(&f) }

// delay lets the latency pass; false where the client gave up.
func (e *Emulator) delay(ctx context.Context, f Faults) bool {
	wait := f.Latency
	if f.Jitter > 0 {
		e.mu.Lock()
		wait += time.Duration(e.rng.Int64N(int64(f.Jitter)))
		e.mu.Unlock()
	}
	if wait == 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// outage fails a request as f says; true where it goes on nevertheless.
func (e *Emulator) outage(w http.ResponseWriter, r *http.Request, f Faults) bool {
	switch f.Outage {
	case Unavailable:
		e.store.refused(http.StatusServiceUnavailable)
		write(w, errorf(http.StatusServiceUnavailable, "%s", defaultMessage(http.StatusServiceUnavailable)).reply(false))
	case Hang:
		<-r.Context().Done()
	case Refused:
		cut(w)
	case CutHeaders:
		raw(w, "HTTP/1.1 200 OK\r\nContent-Type: appl")
	case CutBody:
		raw(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"eventId\":")
	default:
		return true
	}
	return false
}

// cut breaks the connection.
func cut(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// raw writes text to the connection and breaks it.
func raw(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		cut(w) // HTTP/2 has streams to break, and no text of its own
	}
	_, _ = conn.Write([]byte(text))
	_ = conn.Close()
}

func sortedKeys(m map[int]float64) []int { return slices.Sorted(maps.Keys(m)) }
