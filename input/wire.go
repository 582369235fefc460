package input

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/clientevents/clientevents/event"
)

// idHeader is the header in which Confluent's serializers put a schema's ID, if not
// before the value.
const idHeader = "__value_schema_id"

// What a schema's ID begins with: a number of four bytes follows, or a GUID.
const (
	magicNumber = 0
	magicGUID   = 1
)

// schemaID names a schema of a registry.
type schemaID struct {
	number int
	guid   string // "" where number is the ID
}

func (id schemaID) String() string {
	if id.guid != "" {
		return "schema " + id.guid
	}
	return fmt.Sprintf("schema ID %d", id.number)
}

// parseID reads the ID that b begins with, and returns what follows it.
func parseID(b []byte) (id schemaID, rest []byte, err error) {
	switch {
	case len(b) >= 5 && b[0] == magicNumber:
		return schemaID{number: int(binary.BigEndian.Uint32(b[1:]))}, b[5:], nil
	case len(b) >= 17 && b[0] == magicGUID:
		return schemaID{guid: uuid.UUID(b[1:17]).String()}, b[17:], nil
	}
	return schemaID{}, nil, undecodable(
		"not in the schema registry's wire format: the value begins neither with byte 0 and a schema ID, nor is there a header %s", idHeader)
}

// codec decodes the values of one schema. It is safe for concurrent use.
type codec interface {
	// decode decodes payload. rest is what follows the ID: payload itself, or what
	// is left of the header that holds the ID. It charges b for the value, and returns
	// the name of the type.
	decode(payload, rest []byte, inHeader bool, b *budget) (value any, name string, err error)
}

// registryFormat decodes values whose schema is in a registry.
type registryFormat struct {
	client  *registry
	typ     string
	compile func(*schemaText) (codec, error)
	wait    time.Duration // see Config.SchemaWait

	mu      sync.Mutex
	codecs  map[schemaID]*entry
	refused int // of the entries, how many hold a fault
}

// entry is a codec, or the fault that there is instead of one.
type entry struct {
	done  chan struct{} // closed when the rest is set
	codec codec
	fault *event.Fault
	until time.Time // for how long there is a fault
	err   error     // temporary
	// missing is since when the registry is known not to have the schema; zero for any
	// other fault.
	missing time.Time
}

// maxRefused is how many unknown IDs are remembered: there are 2^32.
const maxRefused = 1000

func newRegistryFormat(c Config, client *registry, typ string, compile func(*schemaText) (codec, error)) *registryFormat {
	return &registryFormat{client: client, typ: typ, compile: compile, wait: c.SchemaWait, codecs: map[schemaID]*entry{}}
}

func (f *registryFormat) decode(ctx context.Context, r *Record, b *budget) (decoded, error) {
	head, inHeader := r.header(idHeader)
	if !inHeader {
		head = r.Value
	}
	id, rest, err := parseID(head)
	if err != nil {
		return decoded{}, err
	}
	payload := rest
	if inHeader {
		payload = r.Value
	}
	c, err := f.codec(ctx, id, r.Timestamp)
	if err != nil {
		return decoded{}, err
	}
	value, name, err := c.decode(payload, rest, inHeader, b)
	if err != nil {
		return decoded{}, undecodable("%s: %v", id, err)
	}
	var number any = id.number
	if id.guid != "" {
		number = id.guid
	}
	return decoded{value: value, schema: schemaOf(name, number)}, nil
}

// codec finds the codec of the schema of a record with the given timestamp. Several that
// ask for one at the same time cause one request.
func (f *registryFormat) codec(ctx context.Context, id schemaID, recorded time.Time) (codec, error) {
	for {
		f.mu.Lock()
		e, ok := f.codecs[id]
		if !ok || f.expired(e) {
			var missing time.Time
			if ok {
				missing = e.missing
			}
			e = &entry{done: make(chan struct{}), missing: missing}
			f.codecs[id] = e
			f.mu.Unlock()
			f.fill(ctx, id, e)
			return f.result(e, recorded)
		}
		f.mu.Unlock()
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// Another's context may have ended the request.
		if e.err == nil || ctx.Err() != nil || !errors.Is(e.err, context.Canceled) {
			return f.result(e, recorded)
		}
	}
}

func (f *registryFormat) result(e *entry, recorded time.Time) (codec, error) {
	switch {
	case e.fault != nil && f.mayCome(e) && time.Since(recorded).Abs() < f.wait:
		return nil, fmt.Errorf("%s yet", e.fault.Detail)
	case e.fault != nil:
		return nil, new(*e.fault)
	case e.err != nil:
		return nil, e.err
	}
	return e.codec, nil
}

// mayCome reports whether a schema that the registry does not have may be in it soon.
// Registries with several servers know a new one on some of them first. A record that is
// older than the wait never waits, so that IDs that never come delay a partition by no
// more than that.
func (f *registryFormat) mayCome(e *entry) bool {
	return !e.missing.IsZero() && time.Since(e.missing) < f.wait
}

// expired reports whether an entry holds a fault that may be over. The caller holds mu.
func (f *registryFormat) expired(e *entry) bool {
	select {
	case <-e.done:
	default:
		return false
	}
	if e.fault == nil || time.Now().Before(e.until) {
		return false
	}
	f.refused--
	return true
}

func (f *registryFormat) fill(ctx context.Context, id schemaID, e *entry) {
	text, err := f.client.fetch(ctx, id)
	if err == nil {
		e.codec, err = f.compiled(text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer close(e.done)
	switch fault, isFault := errors.AsType[*event.Fault](err); {
	case isFault:
		e.fault, e.until = fault, time.Now().Add(unknownFor)
		if _, ok := errors.AsType[*missingError](err); !ok {
			e.missing = time.Time{}
		} else if e.missing.IsZero() {
			e.missing = time.Now()
		}
		if f.mayCome(e) {
			e.until = time.Now().Add(askMissingEvery)
		}
		if f.refused++; f.refused > maxRefused {
			f.forget()
		}
	case err != nil:
		e.err = err
		delete(f.codecs, id)
	}
}

// forget forgets all faults. The caller holds mu.
func (f *registryFormat) forget() {
	for id, e := range f.codecs {
		if e.fault != nil {
			delete(f.codecs, id)
		}
	}
	f.refused = 0
}

// compiled compiles a schema; an error is a fault.
func (f *registryFormat) compiled(s *schemaText) (c codec, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = undecodable("%s can't be used: the compiler failed (%T)", s.name, p)
		}
	}()
	if s.typ != f.typ {
		return nil, undecodable("%s is of type %s: input.format expects %s", s.name, s.typ, f.typ)
	}
	if c, err = f.compile(s); err != nil {
		return nil, undecodable("%s can't be used: %s", s.name, shortLine(err.Error()))
	}
	return c, nil
}

func isFault(err error) bool {
	_, ok := errors.AsType[*event.Fault](err)
	return ok
}
