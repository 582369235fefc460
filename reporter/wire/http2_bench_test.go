//go:build unix

package wire

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// serverVariable makes this test's program the server of the benchmarks.
const serverVariable = "WIRE_BENCHMARK_SERVER"

// TestBenchmarkServer serves until its input ends.
func TestBenchmarkServer(t *testing.T) {
	if os.Getenv(serverVariable) == "" {
		t.Skip("it is for the benchmarks")
	}
	s := tlsServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	})
	fmt.Println(s.Listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// serverProcess starts the server, so that what the benchmarks' own process uses
// is the client's.
func serverProcess(b *testing.B) (address string) {
	b.Helper()
	program := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestBenchmarkServer$")
	program.Env = append(os.Environ(), serverVariable+"=1")
	_, err := program.StdinPipe() // which ends with this process
	if err != nil {
		b.Fatal(err)
	}
	out, err := program.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := program.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// cpu is what the process has used until now.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkPost posts from 64 goroutines to net/http's server over TLS on
// loopback, beside net/http's client. What matters is cpu-ns/op: ns/op has the
// server too.
func BenchmarkPost(b *testing.B) {
	address := serverProcess(b)
	to := "https://" + address + "/v4/projects/p/tenants/t/clientEvents"
	trusting := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, DynamicRecordSizingDisabled: true}
	header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"bench"}, "Authorization": {"Bearer " + strings.Repeat("x", 200)}}
	const lanes = 64

	b.Run("wire", func(b *testing.B) {
		nc, err := tls.Dial("tcp", address, trusting)
		if err != nil {
			b.Fatal(err)
		}
		c, err := newHTTP2(nc)
		if err != nil {
			b.Fatal(err)
		}
		defer c.close(net.ErrClosed)
		h := headOf(b, to, header)
		streams, answers := make([]http2Stream, lanes), make([]Answer, lanes)
		load(b, lanes, func(body []byte, lane int) (int, error) {
			err := post(b.Context(), c, h, body, &streams[lane], &answers[lane])
			return answers[lane].Status, err
		})
	})
	b.Run("net-http", func(b *testing.B) {
		transport := &http.Transport{TLSClientConfig: trusting.Clone(), ForceAttemptHTTP2: true, WriteBufferSize: 64 << 10, ReadBufferSize: 16 << 10}
		defer transport.CloseIdleConnections()
		load(b, lanes, func(body []byte, _ int) (int, error) {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, to, bytes.NewReader(body))
			if err != nil {
				return 0, err
			}
			maps.Copy(req.Header, header)
			resp, err := transport.RoundTrip(req)
			if err != nil {
				return 0, err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return resp.StatusCode, err
		})
	})
}

// load has lanes post until the benchmark is done.
func load(b *testing.B, lanes int, post func(body []byte, lane int) (status int, err error)) {
	b.Helper()
	body := bytes.Repeat([]byte("0123456789abcd"), 50)
	var running sync.WaitGroup
	var next atomic.Int64
	b.ReportAllocs()
	before := cpu(b)
	b.ResetTimer()
	for lane := range lanes {
		running.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if status, err := post(body, lane); err != nil || status != http.StatusOK {
					b.Errorf("status %d, %v", status, err)
					return
				}
			}
		})
	}
	running.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}
