package shape

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/clientevents/clientevents/docs/mapping"
)

// registered writes facts in Confluent's wire format: the schema's ID, then the value.
type registered struct {
	language string
	schema   sr.Schema
	// after follows the ID: Protobuf's index of the message.
	after   []byte
	marshal func(f *facts) ([]byte, error)
	id      int // 0 before register
}

// unknownID is the ID of no schema.
const unknownID = 1_000_000

func (r *registered) register(ctx context.Context, client *http.Client, url, subject string) error {
	registry, err := sr.NewClient(sr.URLs(url), sr.HTTPClient(client))
	if err != nil {
		return err
	}
	if r.id, err = registry.RegisterSchema(ctx, subject, r.schema, -1, -1); err != nil {
		return fmt.Errorf("register the schema of %s at %s: %w", subject, url, err)
	}
	return nil
}

func (r *registered) encode(f *facts) ([]byte, error) {
	if r.id == 0 {
		return nil, errors.New("the schema is not registered")
	}
	value, err := r.marshal(f)
	if err != nil {
		return nil, err
	}
	return append(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(r.id)), r.after...), value...), nil
}

// broken names a schema that the registry does not have.
func (r *registered) broken(value []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, unknownID), value[5:]...)
}

func (r *registered) describe(f *facts, value []byte) string {
	fields := present(map[string]any{
		"id": f.id, "searchId": f.request, "parentId": f.parent, "at": f.at, "action": f.kind, "jobIds": f.list(),
	})
	indented, _ := json.MarshalIndent(fields, "", "  ") // strings have JSON
	return fmt.Sprintf("%d bytes of %s by schema ID %d:\n%s", len(value), r.language, r.id, indented)
}

func newAvro() (encoder, error) {
	source, err := mapping.Files.ReadFile("avro/job_event.avsc")
	if err != nil {
		return nil, err
	}
	schema, err := avro.Parse(string(source))
	if err != nil {
		return nil, err
	}
	return &registered{language: "Avro", schema: sr.Schema{Schema: string(source)}, marshal: func(f *facts) ([]byte, error) {
		fields := map[string]any{
			"id": text(f.id), "searchId": text(f.request), "parentId": nil, "at": nil,
			"action": text(f.kind), "jobIds": append([]string{}, f.jobs...),
		}
		if f.parent != nil {
			fields["parentId"] = text(f.parent)
		}
		if t, ok := f.time(); ok {
			fields["at"] = t
		}
		return schema.Encode(fields)
	}}, nil
}

func newProtobuf() (encoder, error) {
	source, err := mapping.Files.ReadFile("protobuf/job_event.proto")
	if err != nil {
		return nil, err
	}
	const file = "job_event.proto"
	files, err := (&protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{file: string(source)}),
	})}).Compile(context.Background(), file)
	if err != nil {
		return nil, err
	}
	message := files[0].Messages().Get(0)
	return &registered{
		language: "Protobuf", schema: sr.Schema{Schema: string(source), Type: sr.TypeProtobuf},
		after: []byte{0}, // the file's first message
		marshal: func(f *facts) ([]byte, error) {
			return proto.MarshalOptions{Deterministic: true}.Marshal(protobufMessage(message, f))
		},
	}, nil
}

func protobufMessage(descriptor protoreflect.MessageDescriptor, f *facts) proto.Message {
	m, fields := dynamicpb.NewMessage(descriptor), descriptor.Fields()
	for name, fact := range map[protoreflect.Name]any{"id": f.id, "search_id": f.request, "parent_id": f.parent, "action": f.kind} {
		if s := text(fact); s != "" {
			m.Set(fields.ByName(name), protoreflect.ValueOfString(s))
		}
	}
	if t, ok := f.time(); ok {
		stamp := timestamppb.New(t)
		at := m.Mutable(fields.ByName("at")).Message()
		parts := at.Descriptor().Fields()
		at.Set(parts.ByName("seconds"), protoreflect.ValueOfInt64(stamp.GetSeconds()))
		at.Set(parts.ByName("nanos"), protoreflect.ValueOfInt32(stamp.GetNanos()))
	}
	jobs := m.Mutable(fields.ByName("job_ids")).List()
	for _, id := range f.jobs {
		jobs.Append(protoreflect.ValueOfString(id))
	}
	return m
}
