package input

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/pipenet"
)

const textSchema = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}`

// counted is a fake registry with one Avro schema, of ID 7, that counts requests.
func counted(t testing.TB) (*srfake.Registry, *atomic.Int64) {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	fake.SeedSchema("s", 1, 7, sr.Schema{Schema: textSchema})
	var requests atomic.Int64
	fake.Intercept(func(http.ResponseWriter, *http.Request) bool {
		requests.Add(1)
		return false
	})
	return fake, &requests
}

func TestOneRequestForAnID(t *testing.T) {
	fake, requests := counted(t)
	d := newDecoder(t, Config{Format: FormatAvro, Registry: Registry{URL: fake.URL()}})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 200 {
				if got := asText(t, d, record(withID(7, []byte("\x02x")))); got != `{"a":"x"}` {
					t.Error(got)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests for 10,000 records with one schema", n)
	}
	// An ID that the registry does not have is not asked for with each record either.
	for range 100 {
		if got := asText(t, d, record(withID(8, nil))); got != "undecodable: schema ID 8 is not in the registry" {
			t.Fatal(got)
		}
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests for an unknown ID", n-1)
	}
}

// TestTroubleIsNoFault: whatever is wrong with a registry, records wait for it.
func TestTroubleIsNoFault(t *testing.T) {
	for name, trouble := range map[string]func(http.ResponseWriter){
		"401": func(w http.ResponseWriter) {
			http.Error(w, `{"error_code":401,"message":"no"}`, http.StatusUnauthorized)
		},
		"403":     func(w http.ResponseWriter) { http.Error(w, `{"error_code":403,"message":"no"}`, http.StatusForbidden) },
		"500":     func(w http.ResponseWriter) { http.Error(w, `{"error_code":50001}`, http.StatusInternalServerError) },
		"429":     func(w http.ResponseWriter) { http.Error(w, ``, http.StatusTooManyRequests) },
		"proxy":   func(w http.ResponseWriter) { http.Error(w, `<html>not found</html>`, http.StatusNotFound) },
		"garbage": func(w http.ResponseWriter) { fmt.Fprint(w, `<html>welcome</html>`) },
		"empty":   func(w http.ResponseWriter) { fmt.Fprint(w, `{}`) },
		"moved":   func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(http.StatusFound) },
		"endless": func(w http.ResponseWriter) {
			for range 5 << 10 {
				fmt.Fprint(w, strings.Repeat(" ", 1024))
			}
		},
		"switches": func(w http.ResponseWriter) { pipenet.SwitchProtocols(t, w) },
		"hangs up": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			fake, _ := counted(t)
			var healthy atomic.Bool
			fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
				if !healthy.Load() {
					trouble(w)
				}
				return !healthy.Load()
			})
			d := newDecoder(t, Config{Format: FormatAvro, Registry: Registry{URL: fake.URL()}})
			events, fault, err := d.Decode(t.Context(), record(withID(7, []byte("\x02x"))), nil)
			if err == nil || fault != nil || events != nil {
				t.Fatalf("got %v, %v, %v: want an error alone", events, fault, err)
			}
			t.Log(err)
			if got := d.Unavailable(); got != err.Error() || !strings.HasPrefix(got, "the schema registry: ") {
				t.Errorf("the status is %q, the error %q", got, err)
			}
			healthy.Store(true)
			d.client.next = time.Time{}
			if got := asText(t, d, record(withID(7, []byte("\x02x")))); got != `{"a":"x"}` {
				t.Errorf("when it is well again: %s", got)
			}
			if got := d.Unavailable(); got != "" {
				t.Errorf("the status is still %q", got)
			}
		})
	}
}

// TestAnUnreachableRegistryIsLeftAlone: for an hour, with one record after the other.
func TestAnUnreachableRegistryIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &registry{}
		asked := 0
		for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(50 * time.Millisecond) {
			err := c.attempt(t.Context(), func() error { asked++; return errors.New("connection refused") })
			if err == nil || isFault(err) {
				t.Fatal(err)
			}
		}
		if asked < 300 || asked > 1000 {
			t.Errorf("it was asked %d times in an hour", asked)
		}
		time.Sleep(10 * time.Second)
		if err := c.attempt(t.Context(), func() error { return nil }); err != nil || c.unavailable() != "" {
			t.Errorf("after the outage: %v, %q", err, c.unavailable())
		}
	})
}

func TestLogins(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		registry Registry
		want     string
	}{
		"none":     {Registry{}, ""},
		"password": {Registry{Username: "jane", PasswordFile: file("password", "secret\n")}, "Basic amFuZTpzZWNyZXQ="},
		"token":    {Registry{BearerTokenFile: file("token", "t0ken\n")}, "Bearer t0ken"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, _ := counted(t)
			var got atomic.Value
			fake.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
				got.Store(r.Header.Get("Authorization"))
				return false
			})
			test.registry.URL = fake.URL()
			d := newDecoder(t, Config{Format: FormatAvro, Registry: test.registry})
			if text := asText(t, d, record(withID(7, []byte("\x02x")))); text != `{"a":"x"}` {
				t.Fatal(text)
			}
			if got.Load() != test.want {
				t.Errorf("the login is %q, want %q", got.Load(), test.want)
			}
		})
	}
	// A file may be replaced; one that is not there is no fault of a record.
	fake, _ := counted(t)
	d := newDecoder(t, Config{Format: FormatAvro, Registry: Registry{URL: fake.URL(), BearerTokenFile: filepath.Join(dir, "later")}})
	if _, fault, err := d.Decode(t.Context(), record(withID(7, []byte("\x02x"))), nil); err == nil || fault != nil {
		t.Errorf("without the token's file: %v, %v", fault, err)
	}
	file("later", "t0ken")
	d.client.next = time.Time{}
	if text := asText(t, d, record(withID(7, []byte("\x02x")))); text != `{"a":"x"}` {
		t.Error(text)
	}
}

const testGUID = "89791762-2336-186f-9674-299b90a802e2"

func TestOtherSchemas(t *testing.T) {
	fake, _ := counted(t)
	fake.SeedSchema("p", 1, 9, sr.Schema{Type: sr.TypeJSON, Schema: `{}`})
	answers := map[string]string{
		"/schemas/ids/11":            `{"schema":` + strconv.Quote(textSchema) + `,"references":[{"name":"L","subject":"loop","version":1}]}`,
		"/subjects/loop/versions/1":  `{"schema":"{\"type\":\"enum\",\"name\":\"L\",\"symbols\":[\"A\"]}","references":[{"name":"L","subject":"loop","version":1}]}`,
		"/schemas/ids/12":            `{"schema":"\"string\"","references":[{"name":"R","subject":"nosuch","version":3}]}`,
		"/schemas/guids/" + testGUID: `{"schema":` + strconv.Quote(textSchema) + `}`,
	}
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		answer, ok := answers[r.URL.Path]
		if ok {
			fmt.Fprint(w, answer)
		}
		return ok
	})
	d := newDecoder(t, Config{Format: FormatAvro, Registry: Registry{URL: fake.URL()}})
	for id, want := range map[int]string{
		9:  "undecodable: schema ID 9 is of type JSON: input.format expects AVRO",
		11: `{"a":"x"}`,
		12: `undecodable: schema ID 12 refers to version 3 of subject "nosuch", which is not in the registry`,
	} {
		if got := asText(t, d, record(withID(id, []byte("\x02x")))); got != want {
			t.Errorf("%d: got %s, want %s", id, got, want)
		}
	}
	guid := uuid.MustParse(testGUID)
	byGUID := record("\x02x", idHeader, "\x01"+string(guid[:]))
	if got := asText(t, d, byGUID); got != `{"a":"x"}` {
		t.Errorf("by GUID: %s", got)
	}
	for url, want := range map[string]string{"": "url", "ftp://x": "url", "http://": "url"} {
		if _, err := New(Config{Version: event.V4, Format: FormatAvro, Registry: Registry{URL: url}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestACanceledLookupIsNotAnothers: who asked first may be stopped, the others continue.
func TestACanceledLookupIsNotAnothers(t *testing.T) {
	fake, _ := counted(t)
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	fake.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		entered <- struct{}{}
		select {
		case <-leave:
		case <-r.Context().Done():
		}
		return false
	})
	d := newDecoder(t, Config{Format: FormatAvro, Registry: Registry{URL: fake.URL()}})
	ctx, cancel := context.WithCancel(t.Context())
	var first, second sync.WaitGroup
	first.Go(func() {
		if _, _, err := d.Decode(ctx, record(withID(7, []byte("\x02x"))), nil); err == nil {
			t.Error("the first was not stopped")
		}
	})
	<-entered
	second.Go(func() {
		if got := asText(t, d, record(withID(7, []byte("\x02x")))); got != `{"a":"x"}` {
			t.Errorf("the second got %s", got)
		}
	})
	cancel()
	first.Wait() // before the registry answers
	close(leave)
	second.Wait()
}
