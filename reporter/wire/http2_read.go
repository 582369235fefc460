package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// answerWindow is what a peer may send of one answer. It is more than is ever
	// read of one, so that it needs no updates.
	answerWindow = maxDiscard + 64<<10
	// connWindow is what it may send of all answers, given back by halves.
	connWindow = 4 << 20
	// readBuffer has room for a frame as large as is allowed, with its header.
	readBuffer = 32 << 10
	// hpackTable is the size of the peer's table (RFC 9113, 6.5.2).
	hpackTable = 4 << 10
	// maxFragments bounds the frames of a header block, which may be empty.
	maxFragments = 64
)

// broken is an error of the peer for which the connection has to end.
type broken struct {
	code http2.ErrCode
	what string
}

func (e *broken) Error() string {
	return fmt.Sprintf("the peer broke the protocol: %s (%s)", e.what, e.code)
}

func violation(code http2.ErrCode, format string, args ...any) error {
	return &broken{code, fmt.Sprintf(format, args...)}
}

// block is the header block that is being read.
type block struct {
	id        uint32
	end       bool // of the stream
	size      int  // of its fragments
	fragments int

	status                            int
	contentType, retryAfter, location string
	length                            int64 // -1: none
	fault                             string
}

func (r *reader) init(c *http2Conn) {
	r.conn = c
	r.buf = bufio.NewReaderSize(r, readBuffer)
	r.framer = http2.NewFramer(nil, r.buf)
	r.framer.SetMaxReadFrameSize(frameSize)
	r.hpack = hpack.NewDecoder(hpackTable, r.block.field)
	r.hpack.SetMaxStringLength(maxAnswerHead)
	r.window = connWindow
}

// Read reads from the connection, and notes the time.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.conn.nc.Read(p)
	r.at = r.conn.now()
	return n, err
}

// read reads until the connection ends.
func (c *http2Conn) read() {
	err := c.expectSettings()
	for err == nil {
		err = c.readFrame()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.explain(err)
	code := http2.ErrCodeNo
	if fault := (*broken)(nil); errors.As(err, &fault) {
		code = fault.code
	}
	c.end(err, code)
}

// explain says why reading ended.
func (c *http2Conn) explain(err error) error {
	var framing http2.ConnectionError
	switch {
	case errors.As(err, &framing):
		if detail := c.in.framer.ErrorDetail(); detail != nil {
			err = detail
		}
		return violation(http2.ErrCode(framing), "%v", err)
	case errors.Is(err, http2.ErrFrameTooLarge):
		return violation(http2.ErrCodeFrameSize, "%v", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // between frames or within one
		err = errClosed
	}
	if c.goAway != "" {
		err = fmt.Errorf("%w, after it sent %s", err, c.goAway)
	}
	return err
}

var errClosed = errors.New("the peer closed the connection")

// expectSettings reads the first frame.
func (c *http2Conn) expectSettings() error {
	fh, err := c.in.framer.ReadFrameHeader()
	if err != nil {
		return err
	}
	if fh.Type != http2.FrameSettings || fh.Flags.Has(http2.FlagSettingsAck) {
		return violation(http2.ErrCodeProtocol, "the first frame is %v instead of SETTINGS", fh.Type)
	}
	c.mu.Lock()
	c.maxStreams = manyStreams
	c.mu.Unlock()
	return c.readRare(fh)
}

func (c *http2Conn) readFrame() error {
	fh, err := c.in.framer.ReadFrameHeader()
	if err != nil {
		return err
	}
	switch fh.Type {
	case http2.FrameData, http2.FrameHeaders, http2.FrameContinuation, http2.FrameRSTStream, http2.FrameWindowUpdate:
		return c.readUsual(fh)
	case http2.FrameSettings, http2.FramePing, http2.FrameGoAway:
		return c.readRare(fh)
	case http2.FramePushPromise:
		return violation(http2.ErrCodeProtocol, "PUSH_PROMISE, though pushes are not enabled")
	default: // of an extension, or a priority, which says nothing to a client
		_, err := c.in.buf.Discard(int(fh.Length))
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heard()
		return err
	}
}

// readUsual reads a frame of those that come with each request. http2.Framer would
// allocate for it.
func (c *http2Conn) readUsual(fh http2.FrameHeader) error {
	p, err := c.in.buf.Peek(int(fh.Length))
	if err != nil {
		return err
	}
	blockEnds := false
	if fh.Type == http2.FrameHeaders || fh.Type == http2.FrameContinuation {
		if blockEnds, err = c.in.readBlock(fh, p); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard()
	switch {
	case blockEnds:
		err = c.onBlock(&c.in.block)
	case fh.Type == http2.FrameData:
		err = c.onData(fh, p)
	case fh.Type == http2.FrameRSTStream:
		err = c.onReset(fh, p)
	case fh.Type == http2.FrameWindowUpdate:
		err = c.onWindowUpdate(fh, p)
	}
	_, _ = c.in.buf.Discard(len(p)) // which were peeked at
	return err
}

// heard notes that there was a frame.
func (c *http2Conn) heard() {
	c.frames++
	c.lastFrame = c.in.at
}

// readRare reads a frame that is about the connection.
func (c *http2Conn) readRare(fh http2.FrameHeader) error {
	frame, err := c.in.framer.ReadFrameForHeader(fh)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard()
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		err = c.onSettings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			err = c.reply(func() error { return c.out.framer.WritePing(true, f.Data) })
		}
	case *http2.GoAwayFrame:
		c.onGoAway(f)
	}
	return err
}

// reply answers a frame of the peer, which must not send more than it reads
// answers.
func (c *http2Conn) reply(write func() error) error {
	if c.ended != nil {
		return nil
	}
	if c.out.replies++; c.out.replies > maxReplies {
		return violation(http2.ErrCodeEnhanceYourCalm, "more than %d PINGs and SETTINGS whose answers it does not read", maxReplies)
	}
	must(write())
	c.kick()
	return nil
}

func (c *http2Conn) onSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if err := f.ForeachSetting(c.onSetting); err != nil {
		return err
	}
	return c.reply(c.out.framer.WriteSettingsAck) // whose writer goes on with the bodies
}

func (c *http2Conn) onSetting(s http2.Setting) error {
	switch s.ID {
	case http2.SettingHeaderTableSize:
		c.out.hpack.SetMaxDynamicTableSize(s.Val)
		clear(c.out.blocks)
	case http2.SettingMaxConcurrentStreams:
		c.maxStreams = min(s.Val, math.MaxInt32)
	case http2.SettingInitialWindowSize:
		return c.onInitialWindow(int64(s.Val))
	case http2.SettingMaxFrameSize:
		if s.Val < 1<<14 || s.Val > 1<<24-1 {
			return violation(http2.ErrCodeProtocol, "SETTINGS_MAX_FRAME_SIZE is %d", s.Val)
		}
	}
	return nil
}

// onInitialWindow changes all streams' windows, which can get negative by that
// (RFC 9113, 6.9.2).
func (c *http2Conn) onInitialWindow(size int64) error {
	if size > maxWindow {
		return violation(http2.ErrCodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE is %d", size)
	}
	change := size - c.streamWindow
	c.streamWindow = size
	for id, s := range c.streams {
		if s.window += change; s.window > maxWindow {
			return violation(http2.ErrCodeFlowControl, "the window of stream %d grows beyond %d", id, maxWindow)
		}
	}
	return nil
}

// onGoAway: the streams up to the last that the peer names go on, the others it
// has not read. A peer that drains names all at first, and later the real last.
func (c *http2Conn) onGoAway(f *http2.GoAwayFrame) {
	c.goAway = "GOAWAY " + f.ErrCode.String()
	if debug := f.DebugData(); len(debug) > 0 {
		c.goAway += fmt.Sprintf(" (%.200q)", debug)
	}
	why := errors.New("the peer sent " + c.goAway)
	for id, s := range c.streams {
		if id > f.LastStreamID {
			c.finish(s, fmt.Errorf("%w: %w", errUnprocessed, why))
		}
	}
	c.retire(why)
}

func (c *http2Conn) onWindowUpdate(fh http2.FrameHeader, p []byte) error {
	if len(p) != 4 {
		return violation(http2.ErrCodeFrameSize, "WINDOW_UPDATE of %d bytes", len(p))
	}
	more := int64(binary.BigEndian.Uint32(p) & maxWindow)
	if fh.StreamID == 0 {
		if more == 0 {
			return violation(http2.ErrCodeProtocol, "WINDOW_UPDATE of 0 for the connection")
		}
		if c.window += more; c.window > maxWindow {
			return violation(http2.ErrCodeFlowControl, "the connection's window grows beyond %d", maxWindow)
		}
	} else {
		s, err := c.stream(fh)
		if s == nil || err != nil {
			return err
		}
		if more == 0 {
			c.abort(s, http2.ErrCodeProtocol, "WINDOW_UPDATE of 0")
			return nil
		}
		if s.window += more; s.window > maxWindow {
			c.abort(s, http2.ErrCodeFlowControl, "a window that is too large")
			return nil
		}
	}
	c.sendBodies()
	c.kick()
	return nil
}

// stream returns the stream that a frame is for; nil for one that is over.
func (c *http2Conn) stream(fh http2.FrameHeader) (*http2Stream, error) {
	if s := c.streams[fh.StreamID]; s != nil {
		return s, nil
	}
	if opened := fh.StreamID < c.nextID || errors.Is(c.unfit, errIDsUsed); fh.StreamID%2 == 0 || !opened {
		return nil, violation(http2.ErrCodeProtocol, "%v for stream %d, which was never opened", fh.Type, fh.StreamID)
	}
	return nil, nil
}

// abort ends a stream of which the peer sent what it must not.
func (c *http2Conn) abort(s *http2Stream, code http2.ErrCode, what string) {
	c.reset(s.id, code)
	c.finish(s, fmt.Errorf("the peer sent a bad answer: %s", what))
}

func (c *http2Conn) onReset(fh http2.FrameHeader, p []byte) error {
	if len(p) != 4 {
		return violation(http2.ErrCodeFrameSize, "RST_STREAM of %d bytes", len(p))
	}
	s, err := c.stream(fh)
	if s == nil || err != nil {
		return err
	}
	code := http2.ErrCode(binary.BigEndian.Uint32(p))
	switch {
	case code == http2.ErrCodeRefusedStream && s.got.Status == 0:
		err = fmt.Errorf("%w: the peer reset the stream (%s)", errUnprocessed, code)
	case code == http2.ErrCodeNo && s.length >= 0 && s.received == s.length:
		err = nil // it wants no more of the request, and has answered
	default:
		err = fmt.Errorf("the peer reset the stream (%s)", code)
	}
	c.finish(s, err)
	return nil
}

// onData takes the answer's body. All of a frame counts for the windows, padding
// too, and that of streams which are over.
func (c *http2Conn) onData(fh http2.FrameHeader, p []byte) error {
	if err := c.useWindow(int64(len(p))); err != nil {
		return err
	}
	data, ok := unpadded(fh, p)
	if !ok {
		return violation(http2.ErrCodeProtocol, "DATA with more padding than it has room for")
	}
	s, err := c.stream(fh)
	if s == nil || err != nil {
		return err
	}
	s.received += int64(len(data))
	s.got.Body = append(s.got.Body, data[:min(len(data), maxBody-len(s.got.Body))]...)
	switch {
	case s.got.Status == 0:
		c.abort(s, http2.ErrCodeProtocol, "a body before its headers")
	case s.length >= 0 && s.received > s.length:
		c.abort(s, http2.ErrCodeProtocol, fmt.Sprintf("a body longer than its content-length of %d", s.length))
	case fh.Flags.Has(http2.FlagDataEndStream):
		c.answered(s)
	case s.received > maxDiscard:
		c.reset(s.id, http2.ErrCodeCancel)
		c.finish(s, nil)
	}
	return nil
}

// useWindow counts what the peer sent, and gives it back when it is much.
func (c *http2Conn) useWindow(n int64) error {
	r := &c.in
	if r.window -= n; r.window < 0 {
		return violation(http2.ErrCodeFlowControl, "DATA beyond the window of %d", connWindow)
	}
	if r.unused += n; r.unused >= connWindow/2 && c.ended == nil {
		must(c.out.framer.WriteWindowUpdate(0, uint32(r.unused)))
		c.kick()
		r.window += r.unused
		r.unused = 0
	}
	return nil
}

func unpadded(fh http2.FrameHeader, p []byte) ([]byte, bool) {
	const padded = http2.FlagDataPadded // of HEADERS too
	if !fh.Flags.Has(padded) {
		return p, true
	}
	if len(p) == 0 || int(p[0]) > len(p)-1 {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}

// answered ends a stream with its answer's end.
func (c *http2Conn) answered(s *http2Stream) {
	if len(s.rest) > 0 { // it did not want to read all of the request
		c.reset(s.id, http2.ErrCodeCancel)
	}
	var err error
	if s.length >= 0 && s.received < s.length {
		err = fmt.Errorf("the answer's body ended after %d of %d bytes: %w", s.received, s.length, io.ErrUnexpectedEOF)
	}
	c.finish(s, err)
}

// readBlock reads a part of a header block, and says whether it was the last.
func (r *reader) readBlock(fh http2.FrameHeader, p []byte) (end bool, err error) {
	b := &r.block
	if fh.Type == http2.FrameHeaders {
		*b = block{id: fh.StreamID, end: fh.Flags.Has(http2.FlagHeadersEndStream), length: -1}
		var ok bool
		if p, ok = unpadded(fh, p); ok && fh.Flags.Has(http2.FlagHeadersPriority) {
			if ok = len(p) >= 5; ok {
				p = p[5:]
			}
		}
		if !ok {
			return false, violation(http2.ErrCodeProtocol, "HEADERS with more padding or a longer priority than it has room for")
		}
	}
	if b.fragments++; b.fragments > maxFragments {
		return false, violation(http2.ErrCodeEnhanceYourCalm, "an answer's head of more than %d frames", maxFragments)
	}
	if b.size += len(p); b.size > maxAnswerHead {
		return false, violation(http2.ErrCodeEnhanceYourCalm, "an answer's head of more than %d bytes", maxAnswerHead)
	}
	if _, err := r.hpack.Write(p); err != nil {
		return false, violation(http2.ErrCodeCompression, "%v", err)
	}
	if !fh.Flags.Has(http2.FlagHeadersEndHeaders) {
		return false, nil
	}
	if err := r.hpack.Close(); err != nil {
		return false, violation(http2.ErrCodeCompression, "%v", err)
	}
	return true, nil
}

// field notes a field that matters.
func (b *block) field(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		n, err := strconv.ParseUint(f.Value, 10, 16)
		if b.status != 0 || err != nil || n < 100 || n > 999 {
			b.fault = fmt.Sprintf("the status %.10q", f.Value)
			return
		}
		b.status = int(n)
	case "content-length":
		n, err := strconv.ParseUint(f.Value, 10, 62)
		if err != nil || (b.length >= 0 && b.length != int64(n)) {
			b.fault = fmt.Sprintf("the content-length %.40q", f.Value)
			return
		}
		b.length = int64(n)
	case "content-type":
		b.contentType = f.Value
	case "retry-after":
		b.retryAfter = f.Value
	case "location":
		b.location = f.Value
	}
}

// onBlock takes a head, or trailers.
func (c *http2Conn) onBlock(b *block) error {
	s, err := c.stream(http2.FrameHeader{Type: http2.FrameHeaders, StreamID: b.id})
	if s == nil || err != nil {
		return err
	}
	switch {
	case s.got.Status != 0 && !b.end:
		c.abort(s, http2.ErrCodeProtocol, "headers in the midst of it")
	case s.got.Status != 0: // trailers
		c.answered(s)
	case b.fault != "":
		c.abort(s, http2.ErrCodeProtocol, b.fault)
	case b.status == 0:
		c.abort(s, http2.ErrCodeProtocol, "no status")
	case b.status < 200 && (b.end || b.status == 101):
		c.abort(s, http2.ErrCodeProtocol, fmt.Sprintf("only the status %d", b.status))
	case b.status < 200: // it announces the answer
	default:
		got := s.got
		got.Status, got.ContentType, got.RetryAfter, got.Location = b.status, b.contentType, b.retryAfter, b.location
		s.length = b.length
		if b.status == 304 { // its content-length is not its own
			s.length = -1
		}
		if b.end {
			c.answered(s)
		}
	}
	return nil
}
