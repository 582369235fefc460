package input

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/scrub"
	"github.com/clientevents/clientevents/internal/tlsfile"
)

// Format is the format of a record's value, as input.format names it.
type Format string

const (
	FormatJSON         Format = "json"
	FormatAvro         Format = "avro"
	FormatProtobuf     Format = "protobuf"
	FormatJSONSchema   Format = "json-schema"
	FormatProtobufFile Format = "protobuf-file"
	FormatCloudEvents  Format = "cloudevents"
)

// Formats lists the formats, the default one first.
func Formats() []Format {
	return []Format{FormatJSON, FormatAvro, FormatProtobuf, FormatJSONSchema, FormatProtobufFile, FormatCloudEvents}
}

// FormatNames returns the names of all formats, separated by commas.
func FormatNames() string {
	names := make([]string, 0, len(Formats()))
	for _, f := range Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// UsesRegistry reports whether records of the format name a schema of a registry.
func (f Format) UsesRegistry() bool {
	return f == FormatAvro || f == FormatProtobuf || f == FormatJSONSchema
}

// Config says how records become events.
type Config struct {
	// Version decides the rules for events.
	Version event.Version
	// Format is one of [Formats]; "" is the first.
	Format Format
	// Registry is where schemas come from, for the formats that use one.
	Registry Registry
	// DescriptorFile and Message are, for protobuf-file, the path of a file with a
	// google.protobuf.FileDescriptorSet and the full name of a message in it.
	DescriptorFile, Message string
	// SchemaWait is how long a new record waits for a schema that the registry does not
	// have; 0 makes it a fault at once.
	SchemaWait time.Duration
	// Mapping is a jq program; "" takes the decoded value as one event.
	Mapping string
	// Memory is the limit of the process's memory in bytes, of which a value may take a
	// part; 0 without a limit.
	Memory int64
	// Dial replaces the network to the registry; nil uses it.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Files keeps the login to the registry current, and Certificates its certificates;
	// nil reads the login for each request and certificates once.
	Files        *filewatch.Watcher
	Certificates *tlsfile.Store
	// Secrets learns the logins to the registry as they are read; nil for none.
	Secrets *scrub.Scrubber
}

// Record is a record of the source topic. Its memory is valid only during a call of
// [Decoder.Decode].
type Record struct {
	Topic      string
	Partition  int32
	Offset     int64
	Timestamp  time.Time
	Key, Value []byte
	Headers    []kafka.Header
}

// header is the value of the last header of a name.
func (r *Record) header(name string) ([]byte, bool) {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == name {
			return h.Value, true
		}
	}
	return nil, false
}

// decoded is a record's value, as a jq program takes it.
type decoded struct {
	value any
	// schema is the name and the ID of the schema, for $schema; nil without one.
	schema any
	// event is the value as the JSON of an event, where there is no mapping; nil where it
	// is what value is as JSON.
	event []byte
}

// format decodes values within a budget. An error is a [*event.Fault] or temporary.
type format interface {
	decode(ctx context.Context, r *Record, b *budget) (decoded, error)
}

// Decoder turns records into events. It is safe for concurrent use.
type Decoder struct {
	version event.Version
	format  format
	client  *registry
	program atomic.Pointer[Program]
	most    int // bytes of a value
	// large is held while a record is decoded and mapped that has largeRecord bytes or
	// takes largeValue bytes as a value.
	large sync.Mutex
}

// KeyError is what is wrong with a key of the configuration.
type KeyError struct {
	Key string // such as input.mapping
	Err error
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *KeyError) Unwrap() error { return e.Err }

func keyError(key, format string, args ...any) error {
	return &KeyError{key, fmt.Errorf(format, args...)}
}

// New returns the decoder that c describes. It does not connect to anything. The error
// is a [*KeyError].
func New(c Config) (*Decoder, error) {
	d := &Decoder{version: c.Version, most: mostDecoded(c.Memory)}
	if err := d.SetMapping(c.Mapping); err != nil {
		return nil, &KeyError{"input.mapping", err}
	}
	var err error
	if c.Format.UsesRegistry() {
		if d.client, err = newRegistry(c); err != nil {
			return nil, err
		}
	}
	switch c.Format {
	case "", FormatJSON:
		d.format = jsonFormat{}
	case FormatCloudEvents:
		d.format = cloudEvents{}
	case FormatAvro:
		d.format = newRegistryFormat(c, d.client, "AVRO", compileAvro)
	case FormatProtobuf:
		d.format = newRegistryFormat(c, d.client, "PROTOBUF", compileProtobuf)
	case FormatJSONSchema:
		d.format = newRegistryFormat(c, d.client, "JSON", compileJSONSchema)
	case FormatProtobufFile:
		d.format, err = newProtobufFile(c.DescriptorFile, c.Message)
	default:
		err = keyError("input.format", "expected one of %s", FormatNames())
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// SetMapping replaces the jq program, also while records are decoded. The error is a
// [*SyntaxError]; the program is then as it was.
func (d *Decoder) SetMapping(source string) error {
	if strings.TrimSpace(source) == "" {
		d.program.Store(nil)
		return nil
	}
	p, err := Compile(source)
	if err != nil {
		return err
	}
	d.program.Store(p)
	return nil
}

// UsesRegistry reports whether schemas come from a registry.
func (d *Decoder) UsesRegistry() bool { return d.client != nil }

// CheckRegistry asks the registry, if there is one, for a schema, to see whether it
// answers and takes the login.
func (d *Decoder) CheckRegistry(ctx context.Context) error {
	if d.client == nil {
		return nil
	}
	return d.client.check(ctx)
}

// Unavailable is why the schema registry can't be used at present, "" if it can or
// there is none.
func (d *Decoder) Unavailable() string {
	if d.client == nil {
		return ""
	}
	return d.client.unavailable()
}

// Decode decodes a record. It appends its events to dst, in order; none if the mapping
// skips the record. A fault makes the record a dead letter. An error says that the
// record can't be decoded now: its schema can't be fetched.
func (d *Decoder) Decode(ctx context.Context, r *Record, dst []*event.Event) ([]*event.Event, *event.Fault, error) {
	return d.decode(ctx, d.format, r, dst)
}

// DecodeJSON is Decode of a record whose value is given as JSON although the format is
// a binary one, as tools have it: the value is what Avro or Protobuf would be decoded to.
func (d *Decoder) DecodeJSON(ctx context.Context, r *Record, dst []*event.Event) ([]*event.Event, *event.Fault, error) {
	f := d.format
	if _, ok := f.(cloudEvents); !ok {
		f = jsonFormat{}
	}
	return d.decode(ctx, f, r, dst)
}

func (d *Decoder) decode(ctx context.Context, f format, r *Record, dst []*event.Event) ([]*event.Event, *event.Fault, error) {
	program := d.program.Load()
	if _, plain := f.(jsonFormat); plain && program == nil {
		return appendEvent(dst, r.Value, d.version)
	}
	return d.decodeValue(ctx, f, program, r, dst)
}

// decodeValue decodes a record to a value, and makes events of it by the program, if there
// is one.
func (d *Decoder) decodeValue(ctx context.Context, f format, program *Program, r *Record, dst []*event.Event) ([]*event.Event, *event.Fault, error) {
	b := newBudget(d.most, d.large.Lock)
	defer func() {
		if b.large {
			d.large.Unlock()
		}
	}()
	if len(r.Value) >= largeRecord {
		b.wait()
	}
	v, err := safely(ctx, f, r, b)
	if err != nil {
		if fault, ok := errors.AsType[*event.Fault](err); ok {
			return nil, fault, nil
		}
		return nil, nil, err
	}
	if program != nil {
		return d.apply(program, r, v, dst)
	}
	data := v.event
	if data == nil {
		if data, err = encode(v.value, 1); err != nil {
			return nil, undecodable("the value as an event: %v", err), nil
		}
	}
	return appendEvent(dst, data, d.version)
}

// safely makes a fault of a panic: the libraries decode bytes of all kinds.
func safely(ctx context.Context, f format, r *Record, b *budget) (v decoded, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = undecodable("the decoder failed (%T)", p)
		}
	}()
	return f.decode(ctx, r, b)
}

// apply applies the mapping to a record's value.
func (d *Decoder) apply(program *Program, r *Record, v decoded, dst []*event.Event) ([]*event.Event, *event.Fault, error) {
	outputs, wrong := program.apply(v.value, r.variables(v.schema))
	if wrong != nil {
		return nil, r.unmapped(wrong.text), nil
	}
	for i, output := range outputs {
		e, fault := event.Decode(output, d.version)
		if fault != nil {
			if len(outputs) > 1 {
				fault.Detail = fmt.Sprintf("event %d of %d: %s", i+1, len(outputs), fault.Detail)
			}
			return nil, fault, nil
		}
		dst = append(dst, e)
	}
	return dst, nil, nil
}

func appendEvent(dst []*event.Event, data []byte, v event.Version) ([]*event.Event, *event.Fault, error) {
	e, fault := event.Decode(data, v)
	if fault != nil {
		return nil, fault, nil
	}
	return append(dst, e), nil, nil
}

// variables are the values of [variables], but for the run.
func (r *Record) variables(schema any) []any {
	headers := make(map[string]any, len(r.Headers))
	for _, h := range r.Headers {
		headers[strings.ToValidUTF8(h.Key, "\uFFFD")] = strings.ToValidUTF8(string(h.Value), "\uFFFD")
	}
	var key any
	if r.Key != nil {
		key = strings.ToValidUTF8(string(r.Key), "\uFFFD")
	}
	timestamp := r.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return []any{key, headers, r.Topic, int(r.Partition), int(r.Offset), timestamp, schema}
}

func (r *Record) unmapped(text string) *event.Fault {
	return &event.Fault{
		Reason: event.ReasonUnmapped,
		Detail: fmt.Sprintf("input.mapping on %s, partition %d, offset %d: %s", r.Topic, r.Partition, r.Offset, text),
	}
}

func undecodable(format string, args ...any) *event.Fault {
	return &event.Fault{Reason: event.ReasonUndecodable, Detail: fmt.Sprintf(format, args...)}
}

// jsonFormat is plain JSON.
type jsonFormat struct{}

func (jsonFormat) decode(_ context.Context, r *Record, b *budget) (decoded, error) {
	v, err := decodeJSON(r.Value, b)
	if err != nil {
		return decoded{}, undecodable("%v", err)
	}
	return decoded{value: v}, nil
}
