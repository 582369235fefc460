package input

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/test/pipenet"
)

// TestSchemaThatIsNotThereYet: a new record waits for a schema that one server of the
// registry does not have yet. Old records, and IDs that never come, wait for nothing.
func TestSchemaThatIsNotThereYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var known atomic.Bool
		var asked atomic.Int64
		var network pipenet.Network
		network.Serve(t, "127.0.0.1:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1); known.Load() && r.URL.Path == "/schemas/ids/7" {
				fmt.Fprintf(w, `{"schema": %q}`, textSchema)
				return
			}
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error_code": 40403, "message": "Schema not found"}`)
		}))
		const wait = 10 * time.Second
		d := newDecoder(t, Config{
			Format: FormatAvro, SchemaWait: wait, Dial: network.DialContext, Registry: Registry{URL: "http://127.0.0.1"},
		})
		decode := func(id int, age time.Duration) string {
			t.Helper()
			r := record(withID(id, []byte("\x02x")))
			r.Timestamp = time.Now().Add(-age)
			_, fault, err := d.Decode(t.Context(), r, nil)
			if got := d.Unavailable(); got != "" {
				t.Errorf("the registry counts as unavailable: %s", got)
			}
			if err != nil {
				return "later: " + err.Error()
			}
			return fault.Error()
		}
		want := func(got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		const later, never = "later: schema ID 7 is not in the registry yet", "undecodable: schema ID 7 is not in the registry"
		want(decode(7, 0), later)
		want(decode(7, -time.Second), later) // its producer's clock is ahead
		want(decode(7, wait), never)
		known.Store(true)
		want(decode(7, 0), later) // it is not asked for with each record
		time.Sleep(askMissingEvery)
		want(decode(7, 0), `unknown_field: "a" is not a field of a client event in v4`) // it is decoded

		asked.Store(0)
		for range 100 {
			decode(8, 0)
			time.Sleep(wait / 50)
		}
		want(decode(8, 0), "undecodable: schema ID 8 is not in the registry")
		if n := asked.Load(); n > 2+int64(wait/askMissingEvery) {
			t.Errorf("%d requests for an ID that does not come", n)
		}
		time.Sleep(unknownFor)
		want(decode(8, 0), "undecodable: schema ID 8 is not in the registry")
	})
}
