package wire

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// frameSize is the largest payload that every peer takes (RFC 9113, 4.2). A
	// peer that allows more gains nothing from it here.
	frameSize = 1 << 14
	// bufferLimit is how much waits for a write; more of the bodies is put there
	// only afterwards.
	bufferLimit = 64 << 10
	// crowdLimit is where no new streams are put on a connection whose writes
	// don't get on.
	crowdLimit = 4 * bufferLimit
	// writeTurns is how often a lane writes for others before it goes back to its
	// own business.
	writeTurns = 16
	// maxReplies bounds what a peer can have owed to it by PINGs and the like,
	// while it does not read.
	maxReplies = 1000
	// maxBlocks bounds how many heads' encodings are kept.
	maxBlocks = 64
)

// writer is the writing side of a connection. All of it but spare is guarded by
// the connection's lock.
type writer struct {
	buf     frameBuffer // what the next write takes
	spare   []byte      // what the last one took; of whoever writes
	busy    bool        // somebody writes
	handed  uint64      // bytes before buf
	replies int         // in buf, to frames of the peer
	waiting []*http2Stream
	allowed time.Time // the write deadline

	framer *http2.Framer
	hpack  *hpack.Encoder
	field  frameBuffer // what hpack wrote last
	block  []byte
	// blocks has the encodings of heads for the present state of hpack's table.
	blocks map[*Head][]byte
}

// frameBuffer collects what is written to it.
type frameBuffer struct{ b []byte }

func (f *frameBuffer) Write(p []byte) (int, error) {
	f.b = append(f.b, p...)
	return len(p), nil
}

func (w *writer) init() {
	w.framer = http2.NewFramer(&w.buf, nil)
	w.hpack = hpack.NewEncoder(&w.field)
	w.blocks = map[*Head][]byte{}
}

// claim makes the caller the writer, if there is something to write and nobody
// does.
func (w *writer) claim() bool {
	if w.busy || len(w.buf.b) == 0 {
		return false
	}
	w.busy = true
	return true
}

// crowded says that writes don't keep up.
func (w *writer) crowded() bool { return len(w.buf.b) >= crowdLimit }

// forget lets go of a stream's body.
func (w *writer) forget(s *http2Stream) {
	if len(s.rest) > 0 {
		if i := slices.Index(w.waiting, s); i >= 0 {
			w.waiting = slices.Delete(w.waiting, i, i+1)
		}
	}
	s.rest = nil
}

// clear forgets what no write has taken yet.
func (w *writer) clear() { w.buf.b = w.buf.b[:0] }

// take returns what is to be written next.
func (w *writer) take() []byte {
	b := w.buf.b
	w.buf.b, w.spare = w.spare[:0], b
	if cap(b) > crowdLimit {
		w.spare = nil
	}
	w.handed += uint64(len(b))
	w.replies = 0
	return b
}

// greet writes what a client sends first. No pushes, and windows that the answers
// to small requests do not fill.
func (c *http2Conn) greet() error {
	c.out.buf.b = append(c.out.buf.b, http2.ClientPreface...)
	must(c.out.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: answerWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxAnswerHead},
	))
	must(c.out.framer.WriteWindowUpdate(0, connWindow-defaultWindow))
	c.extendWrite(time.Now())
	_, err := c.nc.Write(c.out.take())
	return err
}

// must is for writes to memory, which fail only for a frame that breaks the rules.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// kick has written what is to be written, by a goroutine of its own: for those who
// must not wait for the peer.
func (c *http2Conn) kick() {
	if c.out.claim() {
		go c.write(context.Background(), nil, true)
	}
}

// write writes until there is nothing more to write. The caller has the claim. A
// lane (whose stream is s) is relieved after a while by a goroutine.
func (c *http2Conn) write(ctx context.Context, s *http2Stream, alone bool) {
	if !alone {
		// Other lanes that got their answers together with this one may be about
		// to send too: let them.
		runtime.Gosched()
	}
	for turn := 0; ; turn++ {
		c.mu.Lock()
		relieved := s != nil && turn > 0 && (s.finished || turn == writeTurns || ctx.Err() != nil)
		b := c.nextWrite(relieved)
		c.mu.Unlock()
		if b == nil {
			return
		}
		if n, err := c.nc.Write(b); err != nil {
			c.mu.Lock()
			c.out.handed -= uint64(len(b) - n)
			c.end(fmt.Errorf("write: %w", err), http2.ErrCodeNo)
			c.mu.Unlock()
		}
	}
}

// nextWrite returns what to write; nil when the caller is not the writer any more.
func (c *http2Conn) nextWrite(relieved bool) []byte {
	c.sendBodies()
	switch {
	case len(c.out.buf.b) == 0 && c.ended != nil:
		go c.nc.Close() // which may wait for the peer; busy stays, so that nobody writes
		return nil
	case len(c.out.buf.b) == 0:
		c.out.busy = false
		return nil
	case relieved:
		c.out.busy = false
		c.kick()
		return nil
	}
	if now := time.Now(); c.ended == nil && c.out.allowed.Sub(now) < writeTimeout {
		c.extendWrite(now)
	}
	return c.out.take()
}

// extendWrite sets the write deadline, a little late so that it need not be set
// for each write.
func (c *http2Conn) extendWrite(now time.Time) {
	c.out.allowed = now.Add(writeTimeout + time.Second)
	_ = c.nc.SetWriteDeadline(c.out.allowed)
}

// writeRequest puts a request into the buffer, as much of it as there is room for.
func (c *http2Conn) writeRequest(h *Head, s *http2Stream) {
	s.begins = c.out.handed + uint64(len(c.out.buf.b))
	c.writeHead(h, s)
	for len(s.rest) > 0 {
		if c.writeData(s) == 0 {
			c.out.waiting = append(c.out.waiting, s)
			return
		}
	}
}

func (c *http2Conn) writeHead(h *Head, s *http2Stream) {
	w := &c.out
	w.block = append(w.block[:0], w.encode(h)...)
	w.block = appendContentLength(w.block, len(s.rest))
	first, rest := w.block, []byte(nil)
	if len(first) > frameSize {
		first, rest = first[:frameSize], first[frameSize:]
	}
	must(w.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: s.id, BlockFragment: first, EndHeaders: len(rest) == 0, EndStream: len(s.rest) == 0,
	}))
	for len(rest) > 0 {
		first = rest[:min(frameSize, len(rest))]
		rest = rest[len(first):]
		must(w.framer.WriteContinuation(s.id, len(rest) == 0, first))
	}
}

// encode returns a head's header block, up to the content's length. With a table
// that has all of the head's fields it is the same each time, and kept.
func (w *writer) encode(h *Head) []byte {
	if b, ok := w.blocks[h]; ok {
		return b
	}
	w.block = w.block[:0]
	kept := true
	for f := range h.all {
		w.field.b = w.field.b[:0]
		must(w.hpack.WriteField(f))
		kept = kept && !changesTable(w.field.b[0])
		w.block = append(w.block, w.field.b...)
	}
	if !kept || len(w.blocks) == maxBlocks {
		clear(w.blocks)
	}
	if kept {
		w.blocks[h] = slices.Clone(w.block)
	}
	return w.block
}

// all yields the head's fields for HTTP/2.
func (h *Head) all(yield func(hpack.HeaderField) bool) {
	for _, f := range [...]hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: h.authority},
		{Name: ":path", Value: h.path},
	} {
		if !yield(f) {
			return
		}
	}
	for _, f := range h.fields {
		if !yield(f) {
			return
		}
	}
}

// changesTable says of a field's first byte that it is put into the table, or
// comes after a change of the table's size (RFC 7541, 6.2.1 and 6.3).
func changesTable(first byte) bool { return first&0xc0 == 0x40 || first&0xe0 == 0x20 }

// appendContentLength adds a field that the peer does not put into its table
// (RFC 7541, 6.2.2), where it would drive out what stays the same. The name is the
// 28th of the static table.
func appendContentLength(block []byte, n int) []byte {
	block = append(block, 0x0f, 28-0x0f, 0)
	at := len(block)
	block = strconv.AppendInt(block, int64(n), 10)
	block[at-1] = byte(len(block) - at)
	return block
}

// writeData puts a frame of a stream's body into the buffer, and returns how much
// of the body that is.
func (c *http2Conn) writeData(s *http2Stream) int {
	if len(c.out.buf.b) >= bufferLimit {
		return 0
	}
	n := int(min(int64(len(s.rest)), frameSize, s.window, c.window))
	if n <= 0 {
		return 0
	}
	data := s.rest[:n]
	s.rest = s.rest[n:]
	s.window -= int64(n)
	c.window -= int64(n)
	must(c.out.framer.WriteData(s.id, len(s.rest) == 0, data))
	return n
}

// sendBodies puts as much as possible of the bodies that wait into the buffer, a
// frame of each in turn.
func (c *http2Conn) sendBodies() {
	for stuck := 0; stuck < len(c.out.waiting); {
		s := c.out.waiting[0]
		if c.writeData(s) == 0 {
			stuck++
		} else {
			stuck = 0
		}
		c.out.waiting = slices.Delete(c.out.waiting, 0, 1)
		if len(s.rest) > 0 {
			c.out.waiting = append(c.out.waiting, s)
		}
	}
}

// reset tells the peer to stop with a stream.
func (c *http2Conn) reset(id uint32, code http2.ErrCode) {
	if c.ended == nil {
		must(c.out.framer.WriteRSTStream(id, code))
		c.kick()
	}
}
