package reporter

import (
	"context"
	"time"
)

// deadline bounds attempts in time, one after another: its context ends with the
// parent, or when an attempt takes too long. A context of its own for each
// attempt would cost a timer, its memory, and the lock of the parent that all
// workers share.
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

// end ends the time of an attempt that went well.
func (d *deadline) end() {
	if !d.timer.Stop() {
		d.drop() // it went off, perhaps only just now
	}
}

// drop ends the context, and so whatever still goes by it.
func (d *deadline) drop() {
	if d.cancel != nil {
		d.timer.Stop()
		d.cancel(context.Canceled)
	}
	*d = deadline{}
}
