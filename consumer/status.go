package consumer

import "time"

// Trouble is what a partition waits for at the brokers or at the decoder.
type Trouble string

// The troubles of a partition.
const (
	TroubleNone        Trouble = ""
	TroubleByRequest   Trouble = "by_request_topic"  // the internal topic can't be written
	TroubleFetch       Trouble = "fetch"             // records can't be read
	TroubleState       Trouble = "state_topic"       // the state topic can't be written
	TroubleDeadLetters Trouble = "dead_letter_topic" // the dead-letter topic can't be written
	TroubleDecode      Trouble = "decode"            // a record can't be decoded at the moment
	TroubleRestore     Trouble = "state_read"        // the state topic can't be read
	TroubleTransaction Trouble = "open_transaction"  // records can't be read before a producer's transaction ends
)

// Troubles lists all troubles, the most severe first.
func Troubles() []Trouble {
	return []Trouble{TroubleState, TroubleRestore, TroubleDeadLetters, TroubleByRequest, TroubleFetch, TroubleDecode, TroubleTransaction}
}

// PartitionStatus describes a partition in /status.
type PartitionStatus struct {
	Partition  int32     `json:"partition"`
	Restored   bool      `json:"restored"`
	Remaining  int64     `json:"restore_remaining_records,omitempty"`
	Position   int64     `json:"position"`
	Watermark  int64     `json:"watermark"`
	Committed  int64     `json:"committed"`
	End        int64     `json:"end"`
	Lag        int64     `json:"lag"`
	Unfinished int       `json:"unfinished"`
	Waiting    int       `json:"waiting_for_parent"`
	Known      int       `json:"dedupe_entries"`
	Oldest     time.Time `json:"oldest_unfinished,omitzero"`
	Trouble    Trouble   `json:"trouble,omitempty"`
	// Detail is the broker's or decoder's own words about the trouble, and TroubleSince
	// when it began or its cause changed.
	Detail       string    `json:"trouble_detail,omitempty"`
	TroubleSince time.Time `json:"trouble_since,omitzero"`
	// Err is the cause of the trouble, if it is known.
	Err error `json:"-"`
	// Transaction holds the partition up; nil for none.
	Transaction *OpenTransaction `json:"open_transaction,omitempty"`
	// Paused reports whether an operator paused the partition. PausedSince is
	// zero if the operator paused the whole replica.
	Paused      bool      `json:"paused"`
	PausedSince time.Time `json:"paused_since,omitzero"`
}

func (o *owner) status() PartitionStatus {
	stats := o.partition.Stats()
	s := PartitionStatus{
		Partition:  o.partition.ID(),
		Restored:   o.restored.Load(),
		Remaining:  o.remaining.Load(),
		Position:   o.position.Load(),
		Committed:  o.committed.Load(),
		End:        o.end.Load(),
		Watermark:  stats.Watermark,
		Unfinished: stats.Unfinished,
		Waiting:    stats.Waiting,
		Known:      stats.Known,
		Oldest:     stats.Oldest,
		Trouble:    o.trouble(),
		Paused:     o.idle.Load(),
	}
	if cause, ok := o.causes.of(s.Trouble); ok {
		s.Err, s.Detail, s.TroubleSince = cause.Err, cause.Err.Error(), cause.Since
	}
	if fault := o.lettersFault.Load(); fault != nil && s.Trouble == TroubleDeadLetters && s.Err == nil {
		s.Err, s.Detail = fault, fault.String()
	}
	if s.Transaction = o.transaction.Load(); s.Transaction != nil && s.Trouble == TroubleTransaction {
		s.Detail, s.TroubleSince = s.Transaction.String(), s.Transaction.Since
	}
	if s.Paused {
		s.PausedSince = o.pausedAt()
	}
	if s.Watermark >= 0 {
		s.Lag = max(0, s.End-s.Watermark)
	}
	return s
}

// trouble returns the partition's most severe trouble.
func (o *owner) trouble() Trouble {
	switch {
	case o.stateFailing.Load():
		return TroubleState
	case o.unrestored.Load():
		return TroubleRestore
	case o.deadLetterFailing.Load() || o.lettersFault.Load() != nil:
		return TroubleDeadLetters
	case o.byRequestFailing.Load():
		return TroubleByRequest
	case o.failing.Load():
		return TroubleFetch
	case o.undecoded.Load():
		return TroubleDecode
	case o.transaction.Load() != nil && !o.idle.Load():
		return TroubleTransaction
	}
	return TroubleNone
}
