package wire

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzHTTP2Peer: whatever comes from a peer, requests end, no later than their
// context, and so does all that the connection has running (the bubble sees to
// that).
func FuzzHTTP2Peer(f *testing.F) {
	for _, seed := range peerSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		synctest.Test(t, func(t *testing.T) { feed(t, sent) })
	})
}

func feed(t *testing.T, sent []byte) {
	ours, theirs := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	c, err := newHTTP2(ours)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	const patience = 40 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h := headOf(t, "https://example.com/", nil)
	ended := make(chan struct{})
	const lanes = 3 // streams 1, 3 and 5
	for lane := range lanes {
		go func() {
			defer func() { ended <- struct{}{} }()
			var got Answer
			if !c.acquire() {
				t.Error("no slot")
				return
			}
			err := c.do(ctx, h, make([]byte, lane*100_000), &http2Stream{}, &got)
			if err == nil && (got.Status < 200 || got.Status > 999) {
				t.Errorf("the answer's status is %d", got.Status)
			}
			if len(got.Body) > maxBody {
				t.Errorf("%d bytes of the body were kept", len(got.Body))
			}
		}()
		synctest.Wait()
	}
	go func() {
		_, _ = theirs.Write(sent)
		if len(sent)%2 == 0 { // or stay, and say nothing more
			theirs.Close()
		}
	}()
	for range lanes {
		<-ended
	}
	if after := time.Since(start); after > patience {
		t.Errorf("a request took %v", after)
	}
	c.close(net.ErrClosed)
	time.Sleep(10 * time.Second) // for its farewell
	theirs.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil || c.slots != 0 || len(c.streams) != 0 || len(c.out.waiting) != 0 {
		t.Errorf("at the end: %v, %d slots, %d streams, %d waiting", c.ended, c.slots, len(c.streams), len(c.out.waiting))
	}
}

// peerSeeds are what peers send, right and wrong.
func peerSeeds() [][]byte {
	var seeds [][]byte
	seed := func(write func(fr *http2.Framer, head func(pairs ...string) []byte)) {
		var out, block frameBuffer
		fr := http2.NewFramer(&out, nil)
		fr.AllowIllegalWrites = true
		enc := hpack.NewEncoder(&block)
		must(fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 100}))
		write(fr, func(pairs ...string) []byte {
			block.b = nil
			for i := 0; i < len(pairs); i += 2 {
				must(enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}))
			}
			return block.b
		})
		seeds = append(seeds, out.b, append(out.b, 0)) // which closes, and which stays
	}
	headers := func(fr *http2.Framer, id uint32, end bool, block []byte) {
		must(fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: end}))
	}
	seed(func(fr *http2.Framer, head func(...string) []byte) {
		for id := uint32(1); id <= 5; id += 2 {
			headers(fr, id, false, head(":status", "200", "content-type", "application/json", "content-length", "2"))
			must(fr.WriteData(id, true, []byte("{}")))
		}
	})
	seed(func(fr *http2.Framer, head func(...string) []byte) {
		headers(fr, 1, false, head(":status", "100"))
		b := head(":status", "429", "retry-after", "3", "location", "/x")
		must(fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:2], PadLength: 3, Priority: http2.PriorityParam{StreamDep: 3}}))
		must(fr.WriteContinuation(1, true, b[2:]))
		must(fr.WriteDataPadded(1, false, []byte("text"), make([]byte, 5)))
		headers(fr, 1, true, head("x-trailer", "y"))
		must(fr.WritePing(false, [8]byte{1}))
		must(fr.WritePing(true, [8]byte{}))
	})
	seed(func(fr *http2.Framer, head func(...string) []byte) {
		must(fr.WriteWindowUpdate(0, 1<<20))
		must(fr.WriteWindowUpdate(3, 100))
		must(fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10}, http2.Setting{ID: http2.SettingMaxConcurrentStreams}))
		must(fr.WriteSettingsAck())
		must(fr.WriteGoAway(3, http2.ErrCodeNo, []byte("bye")))
		headers(fr, 3, true, head(":status", "204"))
		must(fr.WriteRSTStream(1, http2.ErrCodeRefusedStream))
	})
	seed(func(fr *http2.Framer, head func(...string) []byte) {
		headers(fr, 1, false, head(":status", "200"))
		for range 20 {
			must(fr.WriteData(1, false, make([]byte, frameSize)))
		}
		must(fr.WriteRawFrame(0xbe, 0xff, 7, []byte("extension")))
		must(fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: []byte{0x88}, EndHeaders: true}))
	})
	seed(func(fr *http2.Framer, _ func(...string) []byte) {
		must(fr.WriteData(1, true, nil))
		must(fr.WriteWindowUpdate(3, 0))
		must(fr.WriteWindowUpdate(5, maxWindow))
		must(fr.WriteWindowUpdate(0, maxWindow))
	})
	return append(seeds, nil, []byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
}
