package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// How long an HTTP/2 connection waits for what.
const (
	// quietFor is how long nothing may come from the peer, while it owes an
	// answer, before it gets a PING; and how long after that before it is given
	// up.
	quietFor = 15 * time.Second
	// writeTimeout bounds one write, of bufferLimit bytes and little more.
	writeTimeout = 10 * time.Second
	// farewellTimeout bounds what is written when a connection ends.
	farewellTimeout = time.Second
)

// What a peer allows until it says otherwise (RFC 9113, 6.5.2).
const (
	defaultWindow = 1<<16 - 1
	maxWindow     = 1<<31 - 1
	// earlyStreams is how many streams are opened before a peer's SETTINGS, and
	// manyStreams how many with a peer that sets no limit. net/http does the same.
	earlyStreams = 100
	manyStreams  = 1000
	maxStreamID  = 1<<31 - 1
)

// http2Conn is the client's side of an HTTP/2 connection (RFC 9113) on which
// many lanes have a request each.
//
// A lane puts its request's frames into out. When nobody writes at that time it
// becomes the writer, and takes along what others add meanwhile (http2_write.go).
// One goroutine reads, and finishes each stream as its answer ends
// (http2_read.go). It never writes itself, so that a peer which does not read
// can't keep it from reading.
type http2Conn struct {
	nc    net.Conn
	began time.Time
	watch *time.Timer
	in    reader

	mu      sync.Mutex
	streams map[uint32]*http2Stream // that were sent and have no whole answer yet
	slots   int                     // that are taken: the streams, and those to be sent
	nextID  uint32

	// unfit is why there will be no more streams, and ended why there is nothing
	// at all any more; nil before.
	unfit, ended error
	goAway       string // what the peer said with GOAWAY

	// What the peer allows.
	maxStreams   uint32
	streamWindow int64 // of a new stream
	window       int64 // of all streams together

	out writer

	// For the watch, as times since began.
	frames    uint64 // that were read
	lastFrame time.Duration
	busySince time.Duration // when the first of the present streams was opened
	idleSince time.Duration // when the last slot was freed
	pingSent  time.Duration // the last that was sent for silence
}

// http2Stream is what a lane needs for its requests, one after another. Its zero
// value is ready. What has to do with the answer belongs to the connection from
// the time the request is sent until the stream is finished or dropped.
type http2Stream struct {
	done chan struct{} // gets one value as the stream is finished

	id       uint32
	finished bool
	err      error // of a finished stream

	// The request.
	begins uint64 // at this byte of all that the connection writes
	rest   []byte // of the body, which windows or the buffer have no room for yet
	window int64
	seen   uint64 // frames of the peer before it

	// The answer.
	got      *Answer
	length   int64 // of its content-length; -1 when there is none
	received int64
}

// newHTTP2 takes over a connection on which "h2" was negotiated, and whose
// deadlines are not set. It writes what comes before any request.
func newHTTP2(nc net.Conn) (*http2Conn, error) {
	c := &http2Conn{
		nc:           nc,
		began:        time.Now(),
		streams:      map[uint32]*http2Stream{},
		nextID:       1,
		maxStreams:   earlyStreams,
		streamWindow: defaultWindow,
		window:       defaultWindow,
	}
	c.out.init()
	c.in.init(c)
	if err := c.greet(); err != nil {
		nc.Close()
		return nil, fmt.Errorf("HTTP/2 preface: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = time.AfterFunc(quietFor, c.look)
	go c.read()
	return c, nil
}

func (c *http2Conn) now() time.Duration { return time.Since(c.began) }

// acquire takes the slot that a do needs. It is false when the connection has no
// more at present.
func (c *http2Conn) acquire() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unfit != nil || c.slots >= int(c.maxStreams) || c.out.crowded() {
		return false
	}
	c.slots++
	return true
}

// usable says whether the connection may have a slot at some time.
func (c *http2Conn) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unfit == nil
}

// close ends the connection and all that is going on on it.
func (c *http2Conn) close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(err, http2.ErrCodeNo)
}

// do sends a request in the slot that was acquired, waits for its whole answer and
// frees the slot. got is empty at first; where the answer was cut, it has what came
// of it. An error is [errUnprocessed] when the peer surely did nothing about the
// request. When ctx ends it is the cause of that, no later than a write that hangs
// takes to time out.
func (c *http2Conn) do(ctx context.Context, h *Head, body []byte, s *http2Stream, got *Answer) error {
	if err := c.send(ctx, h, body, s, got); err != nil {
		return err
	}
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
	}
	if c.cancel(s) {
		return context.Cause(ctx)
	}
	<-s.done // it was finished at the same time
	return s.err
}

// send opens a stream.
func (c *http2Conn) send(ctx context.Context, h *Head, body []byte, s *http2Stream, got *Answer) error {
	if s.done == nil {
		s.done = make(chan struct{}, 1)
	}
	*s = http2Stream{done: s.done, rest: body, got: got, length: -1}
	c.mu.Lock()
	if err := c.refusal(ctx); err != nil {
		c.free()
		c.mu.Unlock()
		return err
	}
	c.open(s)
	c.writeRequest(h, s)
	writer := c.out.claim()
	alone := len(c.streams) == 1
	c.mu.Unlock()
	if writer {
		c.write(ctx, s, alone)
	}
	return nil
}

// refusal is why no stream can be opened though a slot was free when it was
// acquired.
func (c *http2Conn) refusal(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case c.unfit != nil:
		return fmt.Errorf("%w: %w", errUnprocessed, c.unfit)
	case len(c.streams) >= int(c.maxStreams):
		return fmt.Errorf("%w: the peer allows %d streams by now", errUnprocessed, c.maxStreams)
	}
	return nil
}

var errIDsUsed = errors.New("the connection's stream ids are used up")

func (c *http2Conn) open(s *http2Stream) {
	if len(c.streams) == 0 {
		c.busySince = c.now()
	}
	s.id = c.nextID
	s.seen = c.frames
	s.window = c.streamWindow
	c.streams[s.id] = s
	if c.nextID >= maxStreamID {
		c.unfit = errIDsUsed
	} else {
		c.nextID += 2
	}
}

var errSilent = errors.New("nothing came from the peer before a request ran out of time")

// cancel gives up a stream whose context has ended; false when it is finished
// already. Where the peer sent nothing at all meanwhile it may be gone, and no
// more is sent there.
func (c *http2Conn) cancel(s *http2Stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.finished {
		return false
	}
	c.reset(s.id, http2.ErrCodeCancel)
	silent := c.frames == s.seen
	c.drop(s)
	if silent {
		c.retire(errSilent)
	}
	return true
}

// finish ends a stream and wakes its lane.
func (c *http2Conn) finish(s *http2Stream, err error) {
	c.drop(s)
	s.err = err
	s.done <- struct{}{}
}

// drop forgets a stream. The connection does not touch it any more.
func (c *http2Conn) drop(s *http2Stream) {
	s.finished = true
	delete(c.streams, s.id)
	c.out.forget(s)
	c.free()
}

// free gives a slot back.
func (c *http2Conn) free() {
	if c.slots--; c.slots == 0 {
		c.idleSince = c.now()
		if c.unfit != nil {
			c.end(c.unfit, http2.ErrCodeNo)
		}
	}
}

// retire opens no more streams, and ends the connection after the last.
func (c *http2Conn) retire(why error) {
	if c.unfit == nil {
		c.unfit = why
	}
	if c.slots == 0 {
		c.end(why, http2.ErrCodeNo)
	}
}

// end is the end of the connection: all streams fail, and what was not yet handed
// to a write never will be. Whoever writes then, says why to the peer and closes.
func (c *http2Conn) end(why error, code http2.ErrCode) {
	if c.ended != nil {
		return
	}
	c.ended = why
	if c.unfit == nil {
		c.unfit = why
	}
	c.watch.Stop()
	for _, s := range c.streams {
		err := why
		if s.begins >= c.out.handed {
			err = fmt.Errorf("%w: %w", errUnprocessed, why)
		}
		c.finish(s, err)
	}
	c.out.clear()
	must(c.out.framer.WriteGoAway(0, code, nil))
	_ = c.nc.SetWriteDeadline(time.Now().Add(farewellTimeout))
	c.kick()
}

// look is what the watch does: it asks a peer that is silent whether it is there,
// ends a connection whose peer does not answer that, and one without use.
func (c *http2Conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	switch {
	case c.ended != nil:
	case len(c.streams) > 0:
		c.lookForFrames(now)
	case c.slots == 0 && now >= c.idleSince+idleFor:
		c.end(fmt.Errorf("the connection had no stream for %s", idleFor), http2.ErrCodeNo)
	case c.slots == 0:
		c.lookAgain(c.idleSince + idleFor - now)
	default:
		c.lookAgain(quietFor)
	}
}

// lookAgain comes early enough for streams that are opened meanwhile.
func (c *http2Conn) lookAgain(in time.Duration) { c.watch.Reset(min(in, quietFor)) }

func (c *http2Conn) lookForFrames(now time.Duration) {
	heard := max(c.lastFrame, c.busySince)
	asked := c.pingSent > heard
	switch {
	case asked && now >= c.pingSent+quietFor:
		c.end(fmt.Errorf("nothing came from the peer for %s, not even an answer to a PING: %w", now-heard, os.ErrDeadlineExceeded), http2.ErrCodeNo)
	case asked:
		c.lookAgain(c.pingSent + quietFor - now)
	case now >= heard+quietFor:
		c.pingSent = now
		must(c.out.framer.WritePing(false, [8]byte{}))
		c.kick()
		c.lookAgain(quietFor)
	default:
		c.lookAgain(heard + quietFor - now)
	}
}

// reader is the reading side of a connection.
type reader struct {
	conn   *http2Conn
	buf    *bufio.Reader
	framer *http2.Framer
	at     time.Duration // when the last bytes came
	block  block
	hpack  *hpack.Decoder
	window int64 // what the peer may send on all streams together
	unused int64 // what it sent of the window that was not given back
}
