package shape

import (
	"maps"

	"github.com/clientevents/clientevents/event"
)

// shapes are all shapes, in the order of the documentation.
var shapes = []struct {
	name    string
	encoder func() (encoder, error)
	faults  map[event.Reason]event.Reason
}{
	// The mapping computes from these fields, and fails without them.
	{"flat", asJSON(flat), with(ignored, map[event.Reason]event.Reason{
		event.ReasonMissingEventID:    event.ReasonUnmapped,
		event.ReasonMissingCreateTime: event.ReasonUnmapped,
		event.ReasonInvalidCreateTime: event.ReasonUnmapped,
		event.ReasonMissingType:       event.ReasonUnmapped,
		event.ReasonMissingJobEvent:   event.ReasonUnmapped,
	})},
	// The mapping fails for an action that is not in its table.
	{"nested", asJSON(nested), with(ignored, map[event.Reason]event.Reason{
		event.ReasonMissingJobEvent: event.ReasonUnmapped,
		event.ReasonMissingType:     event.ReasonUnmapped,
		event.ReasonInvalidType:     event.ReasonUnmapped,
	})},
	// The mapping leaves out other tracks.
	{"segment", asJSON(segment), with(ignored, map[event.Reason]event.Reason{
		event.ReasonMissingJobEvent: skipped,
		event.ReasonMissingType:     skipped,
		event.ReasonInvalidType:     skipped,
	})},
	// A CloudEvent has an ID and a type. One without a time has the record's.
	{"cloudevents", asJSON(cloudEvent), with(ignored, map[event.Reason]event.Reason{
		event.ReasonMissingEventID:    event.ReasonUndecodable,
		event.ReasonMissingJobEvent:   event.ReasonUndecodable,
		event.ReasonMissingType:       event.ReasonUndecodable,
		event.ReasonMissingCreateTime: carried,
	})},
	{"avro", newAvro, typed},
	{"protobuf", newProtobuf, typed},
}

// ignored are the faults of fields that the mappings leave out.
var ignored = map[event.Reason]event.Reason{
	event.ReasonUnknownField:         carried,
	event.ReasonExtraInfoTooManyKeys: carried,
	event.ReasonExtraInfoTooLarge:    carried,
}

// typed are those of schemas: a field has a value of its type, or none.
var typed = with(ignored, map[event.Reason]event.Reason{
	event.ReasonInvalidField:      event.ReasonMissingRequestID,
	event.ReasonInvalidCreateTime: event.ReasonMissingCreateTime,
})

func with(faults, more map[event.Reason]event.Reason) map[event.Reason]event.Reason {
	all := maps.Clone(faults)
	maps.Copy(all, more)
	return all
}

func asJSON(object jsonShape) func() (encoder, error) {
	return func() (encoder, error) { return object, nil }
}
