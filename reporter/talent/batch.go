package talent

import (
	"net/http"
	"strconv"

	"github.com/clientevents/clientevents/event"
)

// An HTTP batch is a multipart/mixed body of which each part is a whole HTTP
// request; the answer has a part for each, of the same form and, where requests
// had a Content-ID of <X>, with one of <response-X>
// (developers.google.com/admin-sdk/reports/v1/guides/batch). It is written and
// read by hand: mime/multipart would be a quarter of what a batch costs.

// boundary can't occur in a part at the beginning of a line: an event's JSON is
// one line, and begins with a brace.
const boundary = "clientevents-part"

// batchWriter writes HTTP batches. It is for one goroutine.
type batchWriter struct {
	version event.Version
	// before and after stand around a part's number.
	before, after []byte
	event         []byte
}

// newBatchWriter makes a writer of batches to the given path, whose parts have
// the Content-IDs <id+0>, <id+1>, ….
func newBatchWriter(path, id string, v event.Version) *batchWriter {
	return &batchWriter{
		version: v,
		before: []byte("--" + boundary + "\r\nContent-Type: application/http\r\n" +
			"Content-Transfer-Encoding: binary\r\nContent-ID: <" + id + "+"),
		after: []byte(">\r\n\r\nPOST " + path + " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: "),
	}
}

// appendBatch appends the body of a batch.
func (w *batchWriter) appendBatch(b []byte, batch []*event.Delivery, privacy *event.Privacy) []byte {
	for i, d := range batch {
		w.event = privacy.Apply(d.Event).AppendRequest(w.event[:0], w.version)
		b = append(b, w.before...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, w.after...)
		b = strconv.AppendInt(b, int64(len(w.event)), 10)
		b = append(b, "\r\n\r\n"...)
		b = append(b, w.event...)
		b = append(b, "\r\n"...)
	}
	return append(b, "--"+boundary+"--\r\n"...)
}

// noBatches reports whether the status of an answer to a batch means that the
// endpoint does not support batches.
func noBatches(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}
