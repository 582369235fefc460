package consumer

import (
	"time"

	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
)

// ReportedEvent is a reported event as the state topic describes it.
type ReportedEvent struct {
	Type event.Type
	// Created is the event's create time, and Reported when the API accepted it.
	Created, Reported time.Time
}

// ParseReported reads a record of the state topic. ok is false for records that are not
// about a reported event, and for those that forget one.
func ParseReported(key, value []byte, timestamp time.Time) (k partition.Key, e ReportedEvent, ok bool, err error) {
	if len(key) == 0 || key[0] != stateReported || value == nil {
		return k, e, false, nil
	}
	k, entry, err := parseEntry(key, value, timestamp)
	if err != nil {
		return k, e, false, err
	}
	return k, ReportedEvent{entry.Type, entry.Created, entry.Reported}, true, nil
}
