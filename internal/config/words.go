package config

// Start is a place in a partition.
type Start string

// The values of [Kafka.Start].
const (
	Earliest Start = "earliest"
	Latest   Start = "latest"
)

// Priority is an order of events that wait to be sent.
type Priority string

// The values of [Report.Priority].
const (
	// ByValue sends applications first, then views, then impressions.
	ByValue Priority = "value"
	// ByArrival sends the events in the order of their arrival.
	ByArrival Priority = "arrival"
)

// Policy is a rule for children without a reported parent.
type Policy string

// The values of [Parents.Policy].
const (
	// RequireParent makes such a child a dead letter.
	RequireParent Policy = "require"
	// AllowOrphan reports such a child.
	AllowOrphan Policy = "allow"
)

// LogFormat is a format of log lines.
type LogFormat string

// The values of [Log.Format].
const (
	// FormatAuto is FormatText on a terminal and FormatJSON elsewhere.
	FormatAuto LogFormat = ""
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)
