package input

import (
	"context"
	"encoding/base64"
	"mime"
	"strings"
	"unicode/utf8"
)

// cloudEvents reads CloudEvents 1.x in the structured and in the binary mode of the
// Kafka binding. In both, the value is the event in its JSON form; without a mapping,
// the value of data is the event.
type cloudEvents struct{}

const (
	structuredType = "application/cloudevents"
	batchType      = "application/cloudevents-batch"
	attributes     = "ce_" // what the headers of binary mode begin with
)

func (cloudEvents) decode(_ context.Context, r *Record, b *budget) (decoded, error) {
	contentType, _ := r.header("content-type")
	media := string(contentType)
	_, binary := r.header(attributes + "specversion")
	var envelope map[string]any
	var err error
	switch {
	case strings.HasPrefix(media, batchType):
		return decoded{}, undecodable("a batch of CloudEvents: publish one CloudEvent per record")
	case binary && !strings.HasPrefix(media, structuredType):
		envelope, err = binaryEvent(r, media, b)
	default:
		envelope, err = structuredEvent(r.Value, b)
	}
	if err != nil {
		return decoded{}, err
	}
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if text, ok := envelope[name].(string); !ok || text == "" {
			return decoded{}, undecodable("no CloudEvent: attribute %s is required", name)
		}
	}
	if version := envelope["specversion"].(string); !strings.HasPrefix(version, "1.") {
		return decoded{}, undecodable("a CloudEvent of a version that is not known: expected specversion 1.0")
	}
	v := decoded{value: envelope, schema: schemaOf(envelope["dataschema"], nil)}
	if data, ok := envelope["data"].(map[string]any); ok {
		if v.event, err = encode(data, 1); err != nil {
			return decoded{}, undecodable("data: %v", err)
		}
	} else {
		v.event = []byte("null") // no event, as the rules will say
	}
	return v, nil
}

// structuredEvent reads a value that is the whole CloudEvent.
func structuredEvent(value []byte, b *budget) (map[string]any, error) {
	v, err := decodeJSON(value, b)
	if err != nil {
		return nil, undecodable("no CloudEvent: no header %sspecversion, and the value is %v", attributes, err)
	}
	switch v := v.(type) {
	case map[string]any:
		return v, nil
	case []any:
		return nil, undecodable("a batch of CloudEvents: publish one CloudEvent per record")
	}
	return nil, undecodable("no CloudEvent: the value is not an object")
}

// binaryEvent reads attributes from headers; the value is data.
func binaryEvent(r *Record, media string, b *budget) (map[string]any, error) {
	envelope := map[string]any{}
	for _, h := range r.Headers {
		if name, ok := strings.CutPrefix(h.Key, attributes); ok && name != "" {
			envelope[name] = strings.ToValidUTF8(string(h.Value), "\uFFFD")
		}
	}
	if media != "" {
		envelope["datacontenttype"] = media
	}
	switch {
	case isJSONType(media):
		data, err := decodeJSON(r.Value, b)
		if err != nil {
			return nil, undecodable("data: %v", err)
		}
		envelope["data"] = data
	case utf8.Valid(r.Value):
		envelope["data"] = string(r.Value)
	default:
		envelope["data_base64"] = base64.StdEncoding.EncodeToString(r.Value)
	}
	return envelope, nil
}

// isJSONType reports whether data of a media type is JSON; without a type, it is.
func isJSONType(media string) bool {
	if media == "" {
		return true
	}
	typ, _, err := mime.ParseMediaType(media)
	return err == nil && (typ == "application/json" || typ == "text/json" || strings.HasSuffix(typ, "+json"))
}

// schemaOf is the value of $schema.
func schemaOf(name, id any) any {
	if name == nil && id == nil {
		return nil
	}
	return map[string]any{"name": name, "id": id}
}
