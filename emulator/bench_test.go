package emulator_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/emulator"
)

// discard is a ResponseWriter that keeps only the status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

func benchmarkServe(b *testing.B, path, contentType, body string, events int) {
	emu := emulator.New(emulator.Options{})
	read := strings.NewReader(body)
	r, err := http.NewRequest("POST", path, read)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Body = io.NopCloser(read)
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		read.Reset(body)
		emu.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatalf("status %d", w.status)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}

func BenchmarkSingle(b *testing.B) {
	benchmarkServe(b, pathV3+"?prettyPrint=false", "application/json", goodV3, 1)
}

func BenchmarkSinglePretty(b *testing.B) {
	benchmarkServe(b, pathV3, "application/json", goodV3, 1)
}

func BenchmarkBatch(b *testing.B) {
	requests := make([]string, 100)
	for i := range requests {
		requests[i] = post(pathV3, goodV3)
	}
	benchmarkServe(b, "/batch?prettyPrint=false", "multipart/mixed; boundary=b", batchOf(requests...), len(requests))
}
