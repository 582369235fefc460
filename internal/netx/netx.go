// Package netx answers questions about addresses, network errors and HTTP answers that
// several packages ask.
package netx

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
)

// IsLoopback reports whether a host name or address names this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// IsTimeout reports whether an error means that time ran out: a deadline of a
// context, a file or a connection.
func IsTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || ok && timeout.Timeout()
}

var errSwitched = errors.New("the server answers 101 and switches to a protocol that was not asked for")

// Final takes the results of a round trip and returns its error. An answer 101 (Switching
// Protocols) is an error, too, and is closed: the body of such an answer is the connection
// itself, which only the server ends, and neither the request's context nor a client's
// timeout.
func Final(resp *http.Response, err error) error {
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return err
	}
	resp.Body.Close()
	return errSwitched
}
