package talent

import "time"

// operation is a batch of changes, see google.longrunning.Operation.
type operation struct {
	Scope   Scope     `json:"scope"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
}
