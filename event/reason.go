package event

// Reason says in one word why an event became a dead letter. It is the value
// of the dlq-reason header and of the metric label reason, so the set of
// reasons is small and fixed.
type Reason string

// The reasons, in the order in which the rules are checked: the first fault
// found names the reason.
const (
	// ReasonUndecodable and ReasonUnmapped mark records of a team's own format:
	// their bytes do not match the format, or the mapping gave no events for them.
	ReasonUndecodable Reason = "undecodable"
	ReasonUnmapped    Reason = "unmapped"
	// ReasonPoison marks a record whose processing ended the process, or would
	// have: it is set aside so that it can't do so for ever.
	ReasonPoison Reason = "poison"

	ReasonMalformed            Reason = "malformed"
	ReasonUnknownField         Reason = "unknown_field"
	ReasonInvalidField         Reason = "invalid_field"
	ReasonMissingEventID       Reason = "missing_event_id"
	ReasonMissingRequestID     Reason = "missing_request_id"
	ReasonMissingCreateTime    Reason = "missing_create_time"
	ReasonMissingJobEvent      Reason = "missing_job_event"
	ReasonMissingType          Reason = "missing_type"
	ReasonMissingJobs          Reason = "missing_jobs"
	ReasonInvalidCreateTime    Reason = "invalid_create_time"
	ReasonInvalidType          Reason = "invalid_type"
	ReasonInvalidJobName       Reason = "invalid_job_name"
	ReasonExtraInfoTooManyKeys Reason = "extra_info_too_many_keys"
	ReasonExtraInfoTooLarge    Reason = "extra_info_too_large"
	ReasonSelfParent           Reason = "self_parent"
	ReasonParentNotFound       Reason = "parent_not_found"
	ReasonParentMismatch       Reason = "parent_mismatch"
	ReasonIDConflict           Reason = "id_conflict"
	ReasonTooLarge             Reason = "too_large"
	ReasonRejected             Reason = "rejected"
)

// Reasons lists every reason in the order in which the rules are checked.
func Reasons() []Reason {
	return []Reason{
		ReasonUndecodable, ReasonUnmapped, ReasonPoison,
		ReasonMalformed, ReasonUnknownField, ReasonInvalidField,
		ReasonMissingEventID, ReasonMissingRequestID, ReasonMissingCreateTime,
		ReasonMissingJobEvent, ReasonMissingType, ReasonMissingJobs,
		ReasonInvalidCreateTime, ReasonInvalidType, ReasonInvalidJobName,
		ReasonExtraInfoTooManyKeys, ReasonExtraInfoTooLarge, ReasonSelfParent,
		ReasonParentNotFound, ReasonParentMismatch, ReasonIDConflict,
		ReasonTooLarge, ReasonRejected,
	}
}

// Fault is what is wrong with an event.
type Fault struct {
	Reason Reason
	// Detail is one line for a person: what, where and what would be right. It
	// never holds the text of extraInfo or eventNotes, which may be personal.
	Detail string
}

func (f *Fault) Error() string { return string(f.Reason) + ": " + f.Detail }
