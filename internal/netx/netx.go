// Package netx answers questions about addresses and network errors that several
// packages ask.
package netx

import (
	"context"
	"errors"
	"net"
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
