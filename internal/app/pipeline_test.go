package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/reporter"
)

type api struct {
	mu  sync.Mutex
	ids []string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	if r.URL.Path == "/batch" {
		http.NotFound(w, r)
		return
	}
	var v struct{ ClientEvent struct{ EventID string } }
	json.Unmarshal(b, &v)
	a.mu.Lock()
	a.ids = append(a.ids, v.ClientEvent.EventID)
	a.mu.Unlock()
	w.Write(b)
}

type pipeNet struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipeNet) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipeNet) Close() error   { close(p.done); return nil }
func (p *pipeNet) Addr() net.Addr { return &net.TCPAddr{} }
func (p *pipeNet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.conns <- b:
		return a, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vn := new(kfake.VirtualNetwork)
		cl, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "ev"), kfake.ListenFn(vn.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		a := &api{}
		pn := &pipeNet{make(chan net.Conn), make(chan struct{})}
		srv := &http.Server{Handler: a}
		go srv.Serve(pn)
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		tr := topicTransport(vn.DialContext, "ev", "ev.dead-letter", "ev.reported")
		p, err := NewPipeline(PipelineConfig{
			Consumer: consumer.Config{Brokers: cl.ListenAddrs(), Topic: "ev", Group: "g", DeadLetterTopic: "ev.dead-letter", StateTopic: "ev.reported",
				Rules:     consumer.Rules{Version: event.V3, Window: time.Hour, ParentsRequired: true, ParentsWait: 30 * time.Second},
				Transport: tr, Dialer: &kafka.Dialer{DialFunc: vn.DialContext, Timeout: 5 * time.Second}, Logger: log},
			Batch:    batcher.Config{Size: 10, Linger: 5 * time.Millisecond, Concurrency: 4},
			Reporter: reporter.Config{Endpoint: "http://127.0.0.1:1", Version: event.V3, Parent: "projects/p", Concurrency: 4, Dial: pn.dial, Logger: log},
		})
		if err != nil {
			t.Fatal(err)
		}
		w := &kafka.Writer{Addr: kafka.TCP(cl.ListenAddrs()...), Topic: "ev", Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll, Transport: &kafka.Transport{Dial: vn.DialContext}, BatchTimeout: time.Millisecond}
		var msgs []kafka.Message
		for i := range 100 {
			msgs = append(msgs, kafka.Message{Key: []byte(fmt.Sprint(i)), Value: []byte(fmt.Sprintf(`{"eventId":"e%d","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/j"]}}`, i%95))})
		}
		msgs = append(msgs, kafka.Message{Key: []byte("x"), Value: []byte("nonsense")}, kafka.Message{Key: []byte("x")})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		if err := w.WriteMessages(ctx, msgs...); err != nil {
			t.Fatal(err)
		}
		go func() { done <- p.Run(ctx) }()
		time.Sleep(20 * time.Second)
		for _, s := range p.consumer.Partitions() {
			t.Logf("%+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		t.Log(len(a.ids))
		w.Close()
		tr.CloseIdleConnections()
		w.Transport.(*kafka.Transport).CloseIdleConnections()
		srv.Close()
	})
}
