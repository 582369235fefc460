package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
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
