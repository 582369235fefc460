package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/clientevents/clientevents/test/pipenet"
)

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.8.9.1": true, "::1": true,
		"": false, "localhost.example.com": false, "127.0.0.1.example.com": false, "10.0.0.1": false, "0.0.0.0": false,
	} {
		if got := IsLoopback(host); got != want {
			t.Errorf("IsLoopback(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestIsTimeout(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{context.DeadlineExceeded, true},
		{fmt.Errorf("read: %w", os.ErrDeadlineExceeded), true},
		{fmt.Errorf("dial: %w", &net.DNSError{IsTimeout: true}), true},
		{&net.DNSError{}, false},
		{context.Canceled, false},
		{errors.New("timeout"), false},
		{nil, false},
	} {
		if got := IsTimeout(test.err); got != test.want {
			t.Errorf("IsTimeout(%v) = %v, want %v", test.err, got, test.want)
		}
	}
}

func TestFinal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/switch" {
			pipenet.SwitchProtocols(t, w)
		}
	}))
	t.Cleanup(server.Close)
	for url, ok := range map[string]bool{server.URL: true, server.URL + "/switch": false, "http://127.0.0.1:1": false} {
		resp, err := http.Get(url)
		if err == nil {
			defer resp.Body.Close()
		}
		if err = Final(resp, err); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
}
