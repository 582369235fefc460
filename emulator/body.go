package emulator

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// bodyTimeout bounds the time that a request's body may take to arrive.
const bodyTimeout = 30 * time.Second

// readBody reads the whole body, decompressed, into c. It takes the memory from the
// budget first, and gives back the part that the body does not need.
func (e *Emulator) readBody(w http.ResponseWriter, r *http.Request, c *call) *apiError {
	if r.ContentLength > e.maxBody {
		return e.tooLarge()
	}
	need := r.ContentLength
	encoding := r.Header.Get("Content-Encoding")
	if need < 0 {
		need = e.maxBody
	}
	if encoding != "" {
		need += e.maxBody
	}
	taken, ok := e.bodies.take(r.Context(), need)
	if !ok {
		return errorf(http.StatusServiceUnavailable, "The request ended before its body could be read.")
	}
	c.held = taken
	body, err := e.readAll(w, r)
	if err == nil && encoding != "" {
		body, err = e.decompress(encoding, body)
	}
	if surplus := taken - int64(len(body)); surplus > 0 {
		e.bodies.give(surplus)
		c.held = int64(len(body))
	}
	switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
	case err == nil:
		c.body = body
		return nil
	case tooLarge:
		return e.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		slow := errorf(http.StatusRequestTimeout, "The request's body did not arrive within %v.", bodyTimeout)
		slow.header = http.Header{"Connection": {"close"}}
		return slow
	}
	return errorf(http.StatusBadRequest, "The request's body could not be read: %v.", err)
}

func (e *Emulator) tooLarge() *apiError {
	return errorf(http.StatusRequestEntityTooLarge, "Request payload size exceeds the limit: %d bytes.", e.maxBody)
}

// readAll reads the body as it is sent, within bodyTimeout.
func (e *Emulator) readAll(w http.ResponseWriter, r *http.Request) (body []byte, err error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	connection := http.NewResponseController(w)
	if connection.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil { // a test's recorder has no deadlines
		defer func() {
			if err == nil {
				err = connection.SetReadDeadline(time.Time{})
			}
		}()
	}
	limited := http.MaxBytesReader(w, r.Body, e.maxBody)
	if r.ContentLength < 0 {
		return io.ReadAll(limited)
	}
	body = make([]byte, r.ContentLength)
	_, err = io.ReadFull(limited, body)
	return body, err
}

func (e *Emulator) decompress(encoding string, body []byte) ([]byte, error) {
	switch strings.ToLower(encoding) {
	case "identity":
		return body, nil
	case "gzip":
	default:
		return nil, fmt.Errorf("Content-Encoding %q is not supported, expected gzip", protojson.Clip(encoding))
	}
	zipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(zipped, e.maxBody+1))
	if int64(len(plain)) > e.maxBody {
		return nil, &http.MaxBytesError{Limit: e.maxBody}
	}
	return plain, err
}
