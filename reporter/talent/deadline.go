package talent

import (
	"context"
	"time"
)

// deadline bounds attempts in time, one after another: its context ends with its
// parent, or when an attempt takes too long. A context for each attempt would cost
// a timer, memory, and the lock of the parent that all senders share.
type deadline struct {
	parent context.Context
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// begin starts the time of an attempt.
func (d *deadline) begin(parent context.Context, timeout time.Duration) context.Context {
	if d.ctx != nil && d.parent == parent && d.ctx.Err() == nil {
		d.timer.Reset(timeout)
		return d.ctx
	}
	d.drop()
	d.parent = parent
	d.ctx, d.cancel = context.WithCancelCause(parent)
	cancel := d.cancel
	d.timer = time.AfterFunc(timeout, func() { cancel(errTimedOut) })
	return d.ctx
}

// end ends the time of a successful attempt.
func (d *deadline) end() {
	if !d.timer.Stop() {
		d.drop() // it fired, perhaps only just now
	}
}

// drop ends the context, and with it everything that still uses it.
func (d *deadline) drop() {
	if d.cancel != nil {
		d.timer.Stop()
		d.cancel(context.Canceled)
	}
	*d = deadline{}
}
