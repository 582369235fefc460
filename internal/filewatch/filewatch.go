// Package filewatch keeps values current that are made of files: passwords, tokens,
// certificates, the configuration.
//
// It compares contents every few seconds. Notifications of the system (inotify) would be
// faster by seconds, but they say nothing on network file systems, and Kubernetes
// replaces a mounted secret by renaming a folder's link (..data), which looks like no
// change to the file. Reading some small files costs less than caring for that.
package filewatch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/metric"
)

// Every is how often contents are compared.
const Every = 5 * time.Second

// Watcher looks after files until it is closed.
type Watcher struct {
	log      *slog.Logger
	failures *prometheus.CounterVec
	stale    *prometheus.GaugeVec
	read     func(path string) ([]byte, error)
	ctx      context.Context //nolint:containedctx // it ends with Close
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// New returns a watcher that counts failures in
// clientevents_secret_reload_failures_total, and tells by clientevents_secret_stale which
// values are not current. A nil registerer registers nothing.
func New(log *slog.Logger, reg prometheus.Registerer) *Watcher {
	s := metric.Set{Registerer: reg}
	w := &Watcher{
		log: log,
		failures: s.Counters("clientevents_secret_reload_failures_total",
			"Failed reads of a changed file, because it was unreadable or invalid; the previous content stays in use.", "secret"),
		stale: s.Gauges("clientevents_secret_stale",
			"Whether the previous content of a file is in use because its current content is unusable (1) or not (0).", "secret"),
		read: os.ReadFile,
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Part returns a watcher with the same log and metrics that ends with w, or before by its
// own Close.
func (w *Watcher) Part() *Watcher {
	p := &Watcher{log: w.log, failures: w.failures, stale: w.stale, read: w.read}
	p.ctx, p.cancel = context.WithCancel(w.ctx)
	return p
}

// Close ends the watching. The values stay as they are. A read that hangs is not waited
// for.
func (w *Watcher) Close() { w.cancel() }

// Value is a value that is made of the contents of files, and always valid.
type Value[T any] struct {
	current atomic.Pointer[T]
	changed atomic.Pointer[time.Time]
	asked   chan chan struct{} // for a look, which closes the channel
	ended   <-chan struct{}
}

// Get returns the current value. It never blocks.
func (v *Value[T]) Get() T { return *v.current.Load() }

// patience is how long [Value.Refresh] waits: a mount may hang.
const patience = 200 * time.Millisecond

// Refresh compares the contents now, and not only at the next look. It takes 0.2 s at most.
func (v *Value[T]) Refresh() {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	done := make(chan struct{})
	select {
	case v.asked <- done:
	case <-v.ended:
		return
	case <-timer.C:
		return
	}
	select {
	case <-done:
	case <-v.ended:
	case <-timer.C:
	}
}

// Changed returns when the value was last replaced; the zero time if it never was.
func (v *Value[T]) Changed() time.Time {
	if t := v.changed.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Files describes a value that is made of files.
type Files[T any] struct {
	// Name is the value's, for the log and the label secret: a key of the
	// configuration, such as kafka.tls.cert_file.
	Name string
	// Paths are read together: a certificate and its key are one value.
	Paths []string
	// Parse makes the value of the contents, in the order of Paths. Contents that are
	// not valid, such as a certificate beside a key that was not yet written, are an
	// error; then the previous value stays in use. The error must not quote them.
	Parse func(contents [][]byte) (T, error)
	// OnChange is called with each new value after the first; nil for nothing.
	OnChange func(T)
}

// Watch reads the files and keeps their value current. The error is that of the first
// reading.
func Watch[T any](w *Watcher, f Files[T]) (*Value[T], error) {
	v := &Value[T]{asked: make(chan chan struct{}), ended: w.ctx.Done()}
	sum, contents, err := f.load(w)
	if err != nil {
		return nil, err
	}
	first, err := f.Parse(contents)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	v.current.Store(&first)
	failures, stale := w.failures.WithLabelValues(f.Name), w.stale.WithLabelValues(f.Name)
	w.running.Go(func() {
		tick := time.NewTicker(Every)
		defer tick.Stop()
		state := watching[T]{files: f, value: v, seen: sum, valid: true, failures: failures, stale: stale}
		for {
			select {
			case <-w.ctx.Done():
				return
			case now := <-tick.C:
				state.look(w, now)
			case done := <-v.asked:
				state.look(w, time.Now())
				close(done)
			}
		}
	})
	return v, nil
}

// load reads the files.
func (f *Files[T]) load(w *Watcher) (sum [sha256.Size]byte, contents [][]byte, err error) {
	for _, path := range f.Paths {
		content, err := w.read(path)
		if err != nil {
			return sum, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		contents = append(contents, content)
	}
	// The lengths keep two files apart whose border moved.
	var all bytes.Buffer
	for _, content := range contents {
		fmt.Fprintf(&all, "%d:", len(content))
		all.Write(content)
	}
	return sha256.Sum256(all.Bytes()), contents, nil
}

// watching is the state of one value's goroutine.
type watching[T any] struct {
	files    Files[T]
	value    *Value[T]
	seen     [sha256.Size]byte // of the contents that were last looked at
	valid    bool              // those contents could be used
	failing  bool
	failures prometheus.Counter
	stale    prometheus.Gauge
}

// current notes that the value is that of the files.
func (s *watching[T]) current() {
	s.failing = false
	s.stale.Set(0)
}

// look replaces the value if the contents changed and are valid. A failure is logged
// when it begins, and when the contents change to others that are not valid.
func (s *watching[T]) look(w *Watcher, now time.Time) {
	sum, contents, err := s.files.load(w)
	if err == nil && sum == s.seen {
		if s.valid {
			s.current() // a file that was missing for a while
		}
		return
	}
	var next T
	if err == nil {
		s.seen = sum
		if next, err = s.files.Parse(contents); err != nil {
			err = fmt.Errorf("%s: %w", s.files.Name, err)
			s.failing = false // other contents: tell again
		}
		s.valid = err == nil
	}
	if err != nil {
		s.failures.Inc()
		s.stale.Set(1)
		if !s.failing {
			w.log.Error("a file changed and can't be used: its previous content stays in use", "key", s.files.Name, "error", err)
		}
		s.failing = true
		return
	}
	s.current()
	s.value.current.Store(&next)
	s.value.changed.Store(&now)
	w.log.Info("a changed file is in use", "key", s.files.Name)
	if s.files.OnChange != nil {
		s.files.OnChange(next)
	}
}
