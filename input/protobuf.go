package input

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// protobufCodec decodes the messages of one schema's file.
type protobufCodec struct {
	file   protoreflect.FileDescriptor
	reader *protoReader
}

// protobufName is the path of a registry's schema among the files that it imports.
const protobufName = "registry.proto"

func compileProtobuf(s *schemaText) (codec, error) {
	sources := map[string]string{protobufName: s.text}
	for _, ref := range s.refs {
		sources[ref.name] = ref.text
	}
	compiler := protocompile.Compiler{
		MaxParallelism: 1,
		Resolver: protocompile.WithStandardImports(protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
			text, ok := sources[path]
			if !ok {
				return protocompile.SearchResult{}, protoregistry.NotFound
			}
			if file := serialized(path, text); file != nil {
				return protocompile.SearchResult{Proto: file}, nil
			}
			return protocompile.SearchResult{Source: strings.NewReader(text)}, nil
		})),
	}
	files, err := compiler.Compile(context.Background(), protobufName)
	if err != nil {
		return nil, err
	}
	return newProtobufCodec(files[0])
}

// serialized reads a schema that is not text but a FileDescriptorProto in base64, as
// Confluent's serializers for Python and .NET register it; nil for text.
func serialized(path, text string) *descriptorpb.FileDescriptorProto {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	var file descriptorpb.FileDescriptorProto
	if err := proto.Unmarshal(data, &file); err != nil {
		return nil
	}
	file.Name = &path
	nameFields(file.MessageType)
	return &file
}

// nameFields gives fields the names in JSON that the compiler expects of a
// FileDescriptorProto.
func nameFields(messages []*descriptorpb.DescriptorProto) {
	for _, m := range messages {
		for _, f := range m.Field {
			if f.GetJsonName() == "" {
				f.JsonName = new(camelCase(f.GetName()))
			}
		}
		nameFields(m.NestedType)
	}
}

// camelCase is a field's name in JSON: each underscore goes, and a letter behind it
// becomes upper case.
func camelCase(name string) string {
	var b strings.Builder
	upper := false
	for _, r := range name {
		switch {
		case r == '_':
			upper = true
			continue
		case upper && r >= 'a' && r <= 'z':
			r -= 'a' - 'A'
		}
		upper = false
		b.WriteRune(r)
	}
	return b.String()
}

func newProtobufCodec(file protoreflect.FileDescriptor) (*protobufCodec, error) {
	var files protoregistry.Files
	var register func(protoreflect.FileDescriptor) error
	register = func(f protoreflect.FileDescriptor) error {
		if _, err := files.FindFileByPath(f.Path()); err == nil {
			return nil
		}
		imports := f.Imports()
		for i := range imports.Len() {
			if err := register(imports.Get(i).FileDescriptor); err != nil {
				return err
			}
		}
		return files.RegisterFile(f)
	}
	if err := register(file); err != nil {
		return nil, err
	}
	return &protobufCodec{file, newProtoReader(dynamicpb.NewTypes(&files))}, nil
}

func (c *protobufCodec) decode(payload, rest []byte, inHeader bool, b *budget) (any, string, error) {
	index := []int{0}
	if !inHeader || len(rest) > 0 {
		found, after, err := new(sr.ConfluentHeader).DecodeIndex(rest, maxDepth)
		if err != nil {
			return nil, "", errors.New("no message index follows the schema ID")
		}
		index = found
		if !inHeader {
			payload = after
		}
	}
	message, err := messageAt(c.file, index)
	if err != nil {
		return nil, "", err
	}
	v, err := c.reader.decode(message, payload, b)
	return v, string(message.FullName()), err
}

// messageAt finds a message by its index in the file, and by those in the messages
// that it is nested in.
func messageAt(file protoreflect.FileDescriptor, index []int) (protoreflect.MessageDescriptor, error) {
	messages := file.Messages()
	var found protoreflect.MessageDescriptor
	for _, i := range index {
		if i < 0 || i >= messages.Len() {
			return nil, fmt.Errorf("it has no message with the index %v", index)
		}
		found = messages.Get(i)
		messages = found.Messages()
	}
	if found == nil {
		return nil, errors.New("no message index follows the schema ID")
	}
	return found, nil
}

// protobufFile decodes one message of a descriptor set.
type protobufFile struct {
	message protoreflect.MessageDescriptor
	reader  *protoReader
}

func newProtobufFile(path, name string) (*protobufFile, error) {
	if path == "" || name == "" {
		return nil, keyError("input.descriptor_file", "is required by input.format protobuf-file, together with input.message")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, keyError("input.descriptor_file", "%w", err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		return nil, keyError("input.descriptor_file", "%s is not a FileDescriptorSet (protoc --include_imports --descriptor_set_out)", path)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, keyError("input.descriptor_file", "%w (protoc --include_imports adds what a file imports)", err)
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, keyError("input.message", "%q is not in %s", name, path)
	}
	message, ok := found.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, keyError("input.message", "%q is not a message", name)
	}
	return &protobufFile{message, newProtoReader(dynamicpb.NewTypes(files))}, nil
}

func (f *protobufFile) decode(_ context.Context, r *Record, b *budget) (decoded, error) {
	v, err := f.reader.decode(f.message, r.Value, b)
	if err != nil {
		return decoded{}, undecodable("%s: %v", f.message.FullName(), err)
	}
	return decoded{value: v, schema: schemaOf(string(f.message.FullName()), nil)}, nil
}
