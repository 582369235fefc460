//go:build unix

package wire

import (
	"errors"
	"net"
	"syscall"
)

// quiet says whether an idle connection is as it should be: open, and with nothing
// to read. Without that look, a request on a connection that the peer has closed
// would fail, and nobody would know whether it was read.
func quiet(c net.Conn) bool {
	raw, ok := c.(syscall.Conn)
	if !ok {
		return true // a connection in memory says so when it is written to
	}
	socket, err := raw.SyscallConn()
	if err != nil {
		return false
	}
	still := false
	err = socket.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		still = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK)
		return true
	})
	return err == nil && still
}
