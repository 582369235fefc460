// Package maptest tests an input section: it applies it to records and compares the
// results with those that are expected.
package maptest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"go.yaml.in/yaml/v4"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
)

// File is a file of tests. docs/schema/mapping-tests.json describes its form.
type File struct {
	Tests []Case `json:"tests"`
}

// Case is one record and the expected result.
type Case struct {
	Name   string `json:"name"`
	Record Record `json:"record"`
	Expect Expect `json:"expect"`
}

// Record is a record. Its value is one of Value, Text and Base64.
type Record struct {
	// Value is the decoded value; of CloudEvents, the structured event.
	Value json.RawMessage `json:"value,omitempty"`
	// Text and Base64 are the value's bytes.
	Text   *string `json:"text,omitempty"`
	Base64 *string `json:"base64,omitempty"`
	// Format replaces input.format.
	Format    input.Format      `json:"format,omitempty"`
	Key       *string           `json:"key,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Topic     string            `json:"topic,omitempty"`
	Partition int32             `json:"partition,omitempty"`
	Offset    int64             `json:"offset,omitempty"`
	Timestamp time.Time         `json:"timestamp,omitzero"`
}

// Expect is the expected result, exactly one of the three.
type Expect struct {
	Events  []json.RawMessage `json:"events,omitempty"`
	Skipped bool              `json:"skipped,omitempty"`
	// Reason is a dead letter's, and Detail a part of its detail.
	Reason event.Reason `json:"reason,omitempty"`
	Detail string       `json:"detail,omitempty"`
}

// Load reads a file of tests.
func Load(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func parse(data []byte) (*File, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, err
	}
	if len(root.Content) == 0 {
		return nil, errors.New("expected tests")
	}
	text, err := toJSON(root.Content[0])
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var f File
	if err := d.Decode(&f); err != nil {
		return nil, errors.New(explain(err))
	}
	if len(f.Tests) == 0 {
		return nil, errors.New("tests: expected at least one")
	}
	for i := range f.Tests {
		c := &f.Tests[i]
		if c.Name == "" {
			c.Name = fmt.Sprintf("test %d", i+1)
		}
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("tests[%d] (%s): %w", i, c.Name, err)
		}
	}
	return &f, nil
}

// explain says what a file of tests has instead of what is expected.
func explain(err error) string {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return strings.TrimPrefix(err.Error(), "json: ")
	}
	expected := wrong.Type.String()
	switch wrong.Type.Kind() {
	case reflect.Struct, reflect.Map:
		expected = "names with values"
	case reflect.Slice:
		expected = "a list"
	case reflect.String:
		expected = "text"
	case reflect.Bool:
		expected = "true or false"
	case reflect.Int32, reflect.Int64:
		expected = "a whole number"
	}
	got := strings.NewReplacer("array", "a list", "object", "names with values", "string", "text", "bool", "true or false", "number", "the number").Replace(wrong.Value)
	if wrong.Field == "" {
		return fmt.Sprintf("expected %s, such as 'tests: [...]', got %s", expected, got)
	}
	return fmt.Sprintf("%s: expected %s, got %s", wrong.Field, expected, got)
}

func (c *Case) check() error {
	values, results := 0, 0
	for _, set := range []bool{c.Record.Value != nil, c.Record.Text != nil, c.Record.Base64 != nil} {
		if set {
			values++
		}
	}
	for _, set := range []bool{c.Expect.Events != nil, c.Expect.Skipped, c.Expect.Reason != ""} {
		if set {
			results++
		}
	}
	switch {
	case values != 1:
		return errors.New("record: expected one of value, text and base64")
	case results != 1:
		return errors.New("expect: expected one of events, skipped: true and reason")
	case c.Expect.Reason != "" && !slices.Contains(event.Reasons(), c.Expect.Reason):
		return fmt.Errorf("expect.reason: %q is not a reason", c.Expect.Reason)
	case c.Record.Format != "" && !slices.Contains(input.Formats(), c.Record.Format):
		return fmt.Errorf("record.format: %q: expected one of %s", c.Record.Format, input.FormatNames())
	}
	if c.Record.Base64 != nil {
		if _, err := base64.StdEncoding.DecodeString(*c.Record.Base64); err != nil {
			return errors.New("record.base64: not base64")
		}
	}
	return nil
}

// Result is the result of one test.
type Result struct {
	File string `json:"file"`
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Want and Got are the expected and the actual result, as lines.
	Want []string `json:"want,omitempty"`
	Got  []string `json:"got,omitempty"`

	seconds float64
}

// Runner applies an input section.
type Runner struct {
	config   input.Config
	topic    string
	decoders map[input.Format]*input.Decoder
}

// NewRunner returns a runner for a configuration. topic is that of records which name
// none.
func NewRunner(c input.Config, topic string) *Runner {
	return &Runner{c, topic, map[input.Format]*input.Decoder{}}
}

// Run runs the tests of a file. The error is not that of a test.
func (r *Runner) Run(ctx context.Context, path string, f *File) ([]Result, error) {
	var all []Result
	for i := range f.Tests {
		began := time.Now()
		result, err := r.one(ctx, &f.Tests[i])
		if err != nil {
			return all, fmt.Errorf("%s: tests[%d] (%s): %w", path, i, f.Tests[i].Name, err)
		}
		result.File, result.Name, result.seconds = path, f.Tests[i].Name, time.Since(began).Seconds()
		all = append(all, result)
	}
	return all, nil
}

func (r *Runner) decoder(format input.Format) (*input.Decoder, error) {
	c := r.config
	if format != "" {
		c.Format = format
	}
	if d := r.decoders[c.Format]; d != nil {
		return d, nil
	}
	d, err := input.New(c)
	if err == nil {
		r.decoders[c.Format] = d
	}
	return d, err
}

func (r *Runner) one(ctx context.Context, c *Case) (Result, error) {
	d, err := r.decoder(c.Record.Format)
	if err != nil {
		return Result{}, err
	}
	rec := r.record(&c.Record)
	decode := d.Decode
	if c.Record.Value != nil {
		decode = d.DecodeJSON
	}
	events, fault, err := decode(ctx, rec, nil)
	if err != nil {
		return Result{}, err
	}
	want, err := c.Expect.lines(r.config.Version)
	if err != nil {
		return Result{}, err
	}
	result := Result{Want: want, Got: lines(events, fault)}
	result.OK = slices.Equal(result.Want, result.Got)
	if reason := c.Expect.Reason; reason != "" && fault != nil {
		result.OK = reason == fault.Reason && strings.Contains(fault.Detail, c.Expect.Detail)
	}
	if result.OK {
		result.Want, result.Got = nil, nil
	}
	return result, nil
}

func (r *Runner) record(in *Record) *input.Record {
	out := &input.Record{Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Timestamp: in.Timestamp, Value: in.Value}
	if out.Topic == "" {
		out.Topic = r.topic
	}
	if out.Timestamp.IsZero() {
		out.Timestamp = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	switch {
	case in.Text != nil:
		out.Value = []byte(*in.Text)
	case in.Base64 != nil:
		out.Value, _ = base64.StdEncoding.DecodeString(*in.Base64)
	}
	if in.Key != nil {
		out.Key = []byte(*in.Key)
	}
	for name, value := range in.Headers {
		out.Headers = append(out.Headers, kafka.Header{Key: name, Value: []byte(value)})
	}
	return out
}

// lines are the expected result as lines, in the form of [lines].
func (e *Expect) lines(v event.Version) ([]string, error) {
	if e.Reason != "" {
		text := "dead letter: " + string(e.Reason)
		if e.Detail != "" {
			text += ": …" + e.Detail + "…"
		}
		return []string{text}, nil
	}
	var events []*event.Event
	for i, text := range e.Events {
		wanted, fault := event.Decode(text, v)
		if fault != nil {
			return nil, fmt.Errorf("expect.events[%d] is not an event: %w", i, fault)
		}
		events = append(events, wanted)
	}
	return lines(events, nil), nil
}

// lines are a result as lines to compare and to show.
func lines(events []*event.Event, fault *event.Fault) []string {
	switch {
	case fault != nil:
		return []string{"dead letter: " + string(fault.Reason) + ": " + fault.Detail}
	case len(events) == 0:
		return []string{"skipped"}
	}
	var all []string
	for i, e := range events {
		all = append(all, fmt.Sprintf("event %d:", i+1))
		var pretty bytes.Buffer
		_ = json.Indent(&pretty, sorted(e.AppendRecord(nil)), "", "  ")
		all = append(all, strings.Split(pretty.String(), "\n")...)
	}
	return all
}

// sorted orders the names of an object that an event was written as, so that maps
// compare equal.
func sorted(data []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return data
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v)
	return bytes.TrimSpace(b.Bytes())
}

// Write writes what failed, as a diff, and a summary.
func Write(out io.Writer, results []Result) {
	failed := 0
	for _, r := range results {
		if r.OK {
			continue
		}
		failed++
		fmt.Fprintf(out, "FAIL %s: %s\n", r.File, r.Name)
		for _, line := range diff(r.Want, r.Got) {
			fmt.Fprintf(out, "  %s\n", line)
		}
	}
	if failed > 0 {
		fmt.Fprintln(out, "(- expected, + actual)")
	}
	fmt.Fprintf(out, "%d tests, %d failed\n", len(results), failed)
}

// diff lists the lines of both, those of want alone behind "-" and those of got alone
// behind "+".
func diff(want, got []string) []string {
	// common[i][j] is how many lines want[i:] and got[j:] have in common, in order.
	common := make([][]int, len(want)+1)
	for i := range common {
		common[i] = make([]int, len(got)+1)
	}
	for i, w := range slices.Backward(want) {
		for j, g := range slices.Backward(got) {
			if w == g {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var all []string
	for i, j := 0, 0; i < len(want) || j < len(got); {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			all = append(all, "  "+want[i])
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && common[i+1][j] >= common[i][j+1]:
			all = append(all, "- "+want[i])
			i++
		default:
			all = append(all, "+ "+got[j])
			j++
		}
	}
	return all
}
