package wire

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// loopPeer is a connection to a peer that answers everything with 200 and
// allocates nothing for it, so that what is measured is the client.
func loopPeer(t testing.TB) (*http2Conn, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var answered atomic.Int64
	ended := make(chan error, 1)
	go func() { ended <- answerAll(l, &answered) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := newHTTP2(nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.close(net.ErrClosed)
		<-ended
	})
	return c, &answered
}

func answerAll(l net.Listener, answered *atomic.Int64) error {
	nc, err := l.Accept()
	if err != nil {
		return err
	}
	defer nc.Close()
	buf := make([]byte, 64<<10)
	if _, err := io.ReadFull(nc, buf[:len(http2.ClientPreface)]); err != nil {
		return err
	}
	var out, block frameBuffer
	fr := http2.NewFramer(&out, nc)
	fr.SetReuseFrames()
	must(fr.WriteSettings())
	must(fr.WriteSettingsAck())
	enc := hpack.NewEncoder(&block)
	for {
		fh, err := fr.ReadFrameHeader()
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(nc, buf[:fh.Length]); err != nil {
			return err
		}
		if fh.Type == http2.FrameData {
			must(fr.WriteWindowUpdate(0, fh.Length))
		}
		if (fh.Type == http2.FrameData || fh.Type == http2.FrameHeaders) && fh.Flags.Has(http2.FlagDataEndStream) {
			block.b = block.b[:0]
			for _, f := range [...]hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/json"}, {Name: "content-length", Value: "2"}} {
				must(enc.WriteField(f))
			}
			must(fr.WriteHeaders(http2.HeadersFrameParam{StreamID: fh.StreamID, BlockFragment: block.b, EndHeaders: true}))
			must(fr.WriteData(fh.StreamID, true, []byte("{}")))
			answered.Add(1)
		}
		if _, err := nc.Write(out.b); err != nil {
			return err
		}
		out.b = out.b[:0]
	}
}
