package pipenet

import (
	"io"
	"net/http"
	"testing"
)

// SwitchProtocols answers 101 (Switching Protocols), and keeps the connection open until
// the client closes it.
func SwitchProtocols(t testing.TB, w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	_, _ = io.Copy(io.Discard, conn)
}
