package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The sink stands for the API: it takes single events and HTTP batches, counts
// events by their ids, and is as cheap as it can be, since it shares the cores
// with what is measured. HTTP/1.1 is served by hand, TLS with HTTP/2 by net/http.

// sink counts what arrives.
type sink struct {
	delay   atomic.Int64 // before an answer, nanoseconds
	tally   atomic.Pointer[tally]
	refusal atomic.Pointer[refusal]
}

// tally is what arrived since the last reset.
type tally struct {
	counts []atomic.Uint32
	took   []int64 // from publishing to arrival, nanoseconds
	events atomic.Int64
	unique atomic.Int64
	alien  atomic.Int64 // events that no record holds, or that are at fault
	first  atomic.Int64
	last   atomic.Int64
	still  atomic.Int64 // longest time without a new event, nanoseconds
	// again is when each event may come again; 0 for at any time.
	again                   []atomic.Int64
	refused, retries, early atomic.Int64
}

func newTally(n int) *tally {
	return &tally{counts: make([]atomic.Uint32, n), took: make([]int64, n), again: make([]atomic.Int64, n)}
}

// seen is what the sink tells of its tally.
type seen struct {
	Events, Unique, Alien int
	// First and Last are when events arrived, Unix nanoseconds.
	First, Last int64
	// P50 and P99 are from publishing to the first arrival.
	P50, P99 time.Duration
	// Still is the longest time without a new event after the first.
	Still time.Duration
	// Refused are requests, Retries those of them that came again after an answer with
	// Retry-After, and Early those of them that came before its time.
	Refused, Retries, Early int
}

func (t *tally) seen(quantiles bool) seen {
	s := seen{
		Events: int(t.events.Load()), Unique: int(t.unique.Load()), Alien: int(t.alien.Load()),
		First: t.first.Load(), Last: t.last.Load(), Still: time.Duration(t.still.Load()),
		Refused: int(t.refused.Load()), Retries: int(t.retries.Load()), Early: int(t.early.Load()),
	}
	if quantiles {
		var took []int64
		for i := range t.counts {
			if t.counts[i].Load() > 0 {
				took = append(took, t.took[i])
			}
		}
		slices.Sort(took)
		if n := len(took); n > 0 {
			s.P50, s.P99 = time.Duration(took[n/2]), time.Duration(took[n*99/100])
		}
	}
	return s
}

// take counts an event.
func (t *tally) take(body []byte, now int64) {
	i, ok := numberAfter(body, idPrefix, idDigits)
	if !ok || int(i) >= len(t.counts) {
		t.alien.Add(1)
		return
	}
	t.events.Add(1)
	if t.counts[i].Add(1) > 1 {
		return
	}
	if at, ok := numberAfter(body, atPrefix, atDigits); ok {
		t.took[i] = now - at
	}
	t.unique.Add(1)
	t.first.CompareAndSwap(0, now)
	for last := t.last.Load(); now > last; last = t.last.Load() {
		if !t.last.CompareAndSwap(last, now) {
			continue
		}
		if last > 0 {
			raise(&t.still, now-last)
		}
		return
	}
}

// raise sets a value that only grows.
func raise(v *atomic.Int64, to int64) {
	for is := v.Load(); to > is && !v.CompareAndSwap(is, to); is = v.Load() {
	}
}

func numberAfter(body []byte, prefix string, digits int) (n int64, ok bool) {
	at := bytes.Index(body, []byte(prefix))
	if at < 0 || len(body) < at+len(prefix)+digits {
		return 0, false
	}
	for _, c := range body[at+len(prefix) : at+len(prefix)+digits] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

const answerBoundary = "batch_answer"

// answer counts the events of a request and appends the answer's body: the event
// itself, or a part for each. What it returns of a refusal is nil for an answer.
func (s *sink) answer(dst, body []byte, together bool) ([]byte, *refusal) {
	if d := time.Duration(s.delay.Load()); d > 0 {
		time.Sleep(d)
	}
	t, now := s.tally.Load(), time.Now().UnixNano()
	if r, ok := s.refuse(t, body, now); ok {
		return append(dst, "{}"...), r
	}
	if !together {
		t.take(body, now)
		return append(dst, body...), nil
	}
	for {
		id, rest, ok := between(body, "Content-ID: <", ">")
		if !ok {
			return append(dst, "--"+answerBoundary+"--\r\n"...), nil
		}
		length, rest, _ := between(rest, "Content-Length: ", "\r\n")
		_, rest, _ = bytes.Cut(rest, []byte("\r\n\r\n"))
		n, _ := strconv.Atoi(string(length))
		event := rest[:min(n, len(rest))]
		body = rest[len(event):]
		t.take(event, now)
		dst = append(dst, "--"+answerBoundary+"\r\nContent-Type: application/http\r\nContent-ID: <response-"...)
		dst = append(dst, id...)
		dst = append(dst, ">\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"...)
		dst = append(append(dst, event...), "\r\n"...)
	}
}

func between(b []byte, before, after string) (text, rest []byte, ok bool) {
	if _, rest, ok = bytes.Cut(b, []byte(before)); !ok {
		return nil, nil, false
	}
	// The blank line that follows an after of one line end is kept for the caller.
	end := bytes.Index(rest, []byte(after))
	if end < 0 {
		return nil, nil, false
	}
	return rest[:end], rest[end:], true
}

func contentType(together bool) string {
	if together {
		return "multipart/mixed; boundary=" + answerBoundary
	}
	return "application/json; charset=UTF-8"
}

// ServeHTTP is for TLS and HTTP/2.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	together := bytes.HasPrefix([]byte(r.Header.Get("Content-Type")), []byte("multipart/"))
	b.in.Reset()
	if _, err := b.in.ReadFrom(r.Body); err != nil {
		return
	}
	var refused *refusal
	b.out, refused = s.answer(b.out[:0], b.in.Bytes(), together)
	w.Header().Set("Content-Type", contentType(together))
	w.Header().Set("Content-Length", strconv.Itoa(len(b.out)))
	if refused != nil {
		if refused.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(refused.after))
		}
		w.WriteHeader(refused.status)
	}
	_, _ = w.Write(b.out)
}

type buffer struct {
	in  bytes.Buffer
	out []byte
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// serveHTTP1 answers the requests of one connection.
func (s *sink) serveHTTP1(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	var body, payload, out []byte
	for {
		head, err := readHead(r)
		if err != nil {
			return
		}
		if body, err = head.readBody(r, body); err != nil {
			return
		}
		var refused *refusal
		payload, refused = s.answer(payload[:0], body, head.together)
		out = fmt.Appendf(out[:0], "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", refused.line(), contentType(head.together), len(payload))
		out = append(out, payload...)
		if _, err := c.Write(out); err != nil || head.last {
			return
		}
	}
}

// head is what matters of a request's head.
type head struct {
	length                  int
	chunked, together, last bool
}

func readHead(r *bufio.Reader) (h head, err error) {
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return h, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 && !first {
			return h, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if h.length, err = strconv.Atoi(string(value)); err != nil {
				return h, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			h.chunked = true
		case bytes.EqualFold(name, []byte("Content-Type")):
			h.together = bytes.HasPrefix(value, []byte("multipart/"))
		case bytes.EqualFold(name, []byte("Connection")):
			h.last = bytes.EqualFold(value, []byte("close"))
		}
	}
}

func (h head) readBody(r *bufio.Reader, body []byte) ([]byte, error) {
	if h.chunked {
		body, err := io.ReadAll(httputil.NewChunkedReader(r))
		if err == nil {
			_, err = r.ReadSlice('\n') // after the last chunk
		}
		return body, err
	}
	body = slices.Grow(body[:0], h.length)[:h.length]
	_, err := io.ReadFull(r, body)
	return body, err
}

// control is what the harness tells the sink to do, and asks it.
func (s *sink) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reset", func(_ http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		delay, _ := time.ParseDuration(r.FormValue("delay"))
		s.delay.Store(int64(delay))
		s.refusal.Store(nil)
		s.tally.Store(newTally(n))
	})
	mux.HandleFunc("POST /refuse", s.refuseFor)
	mux.HandleFunc("GET /seen", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(s.tally.Load().seen(r.FormValue("quantiles") != ""))
	})
	return mux
}

// serveSink is the sink's process. Its line tells the addresses for plain
// HTTP/1.1, for TLS with HTTP/2, and for control. Its one argument is where the
// certificate goes that is to be trusted.
func serveSink(args []string) error {
	if len(args) != 1 {
		return errors.New("expected a file for the certificate")
	}
	s := &sink{}
	s.tally.Store(newTally(0))
	var listeners [3]net.Listener
	for i := range listeners {
		var err error
		if listeners[i], err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	certificate, err := selfSigned(args[0])
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := listeners[0].Accept()
			if err != nil {
				return
			}
			go s.serveHTTP1(c)
		}
	}()
	secure := &http.Server{
		Handler: s, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1000}, ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = secure.ServeTLS(listeners[1], "", "") }()
	controls := &http.Server{Handler: s.control(), ReadHeaderTimeout: time.Minute}
	go func() { _ = controls.Serve(listeners[2]) }()
	fmt.Println(listeners[0].Addr(), listeners[1].Addr(), listeners[2].Addr())
	awaitEnd()
	return nil
}

// selfSigned makes a certificate for the loopback address and writes it to file.
func selfSigned(file string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sink"}, // Java wants a name
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, text, 0o644); err != nil { //nolint:gosec // it is public
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
