package pipenet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n Network
		n.Serve(t, "api.test:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			fmt.Fprint(w, r.Host)
		}))
		client := http.Client{Transport: &http.Transport{DialContext: n.DialContext}}
		defer client.CloseIdleConnections()
		start := time.Now()
		resp, err := client.Get("http://api.test")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if string(body) != "api.test" || err != nil || time.Since(start) != time.Minute {
			t.Errorf("the answer is %q, %v after %v; want api.test after a minute", body, err, time.Since(start))
		}
	})
}

func TestNobodyListens(t *testing.T) {
	var n Network
	if _, err := n.DialContext(t.Context(), "tcp", "api.test:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialing nobody says %v", err)
	}
	l := n.Listen("api.test:80")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := n.DialContext(ctx, "tcp", "api.test:80"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dialing one who does not accept says %v", err)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting on a closed listener says %v", err)
	}
	if _, err := n.DialContext(t.Context(), "tcp", "api.test:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialing a closed one says %v", err)
	}
}
