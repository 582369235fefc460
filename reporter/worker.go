package reporter

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/exemplar"
	"github.com/clientevents/clientevents/reporter/talent"
)

// worker sends one request at a time. Its buffers live as long as it does.
type worker struct {
	permit

	sender *talent.Sender
	span   trace.Span // of the request; nil where it is not traced

	results    []talent.Result // of the batch that is being sent
	rejected   []rejection
	retries    []*event.Delivery // to be returned together
	retryAfter time.Duration
}

func (r *Reporter) newWorker() *worker {
	return &worker{permit: permit{r: r}, sender: r.client.NewSender()}
}

func (w *worker) run(ctx context.Context) {
	defer w.sender.Close()
	var batch []*event.Delivery
	for {
		var err error
		if batch, err = w.r.source.Next(ctx, batch[:0], &w.permit); err != nil {
			return
		}
		w.send(batch)
		w.end(len(batch))
		clear(batch)
	}
}

// answered records an answer, whatever it says.
func (w *worker) answered(answer talent.Answer) {
	if answer.Status != 0 {
		w.r.lost.Store(0)
		exemplar.Observe(w.r.metrics.duration, answer.Took.Seconds(), w.span)
	}
	endSpan(w.span, answer.Status, answer.Err)
	if answer.Status == http.StatusUnauthorized {
		w.rejectedToken()
	}
}

// rejectedToken reports that the API rejected the token of the latest attempt.
func (w *worker) rejectedToken() {
	if w.r.tokens != nil {
		w.r.tokens.Refused(w.sender.Token())
	}
}

// send makes one attempt at a batch and processes its results. The batch is empty
// where a drain released its events.
func (w *worker) send(batch []*event.Delivery) {
	batch = w.withoutOversized(batch)
	switch len(batch) {
	case 0:
		w.r.gate.withdraw(w.pass)
	case 1:
		w.sendAlone(batch)
	default:
		w.sendTogether(batch)
	}
}

// withoutOversized ends the events that no request can hold, and returns the rest.
func (w *worker) withoutOversized(batch []*event.Delivery) []*event.Delivery {
	const escaped = len(`\u0000`) // what one byte may become in JSON
	kept := batch[:0]
	for _, d := range batch {
		if d.Size()*escaped > talent.MaxEvent {
			if size := len(d.AppendRequest(nil, w.r.cfg.Version)); size > talent.MaxEvent {
				d.Done(event.Outcome{Kind: event.TooLarge, Detail: fmt.Sprintf("the event is %d bytes as a request: the limit is %d", size, talent.MaxEvent)})
				continue
			}
		}
		kept = append(kept, d)
	}
	return kept
}

// sendAlone makes one attempt at a batch of one event.
func (w *worker) sendAlone(batch []*event.Delivery) {
	d := batch[0]
	d.Attempts++
	w.span = w.startSpan(batch)
	answer := w.sender.Send(w.ctx, d)
	w.answered(answer)
	w.count(answer)
	w.countUnknown(answer.Err, 1)
	switch err := answer.Err; {
	case err == nil || err.Permanent():
		w.r.limiter.answered(1, 0, time.Now())
		w.r.gate.succeed(w.pass, time.Now())
		w.r.grow(1)
		w.results = append(w.results[:0], talent.Result{Status: answer.Status, Err: err})
		w.conclude(batch, nil)
	case err.Reason == talent.Recalled:
		w.giveBack(batch)
	default:
		w.retry(batch, err)
	}
}

// count counts a request that was answered as a whole or not at all.
func (w *worker) count(answer talent.Answer) {
	if err := answer.Err; err == nil || (err.Reason != talent.Recalled && !err.Unsent) {
		w.r.metrics.answers(answer.Status, 1)
	}
}

// countUnknown counts events that are sent again although the API may have accepted
// them.
func (w *worker) countUnknown(err *talent.Error, events int) {
	if err != nil && err.Unknown {
		w.r.metrics.unknown.Add(float64(events))
	}
}

// sendTogether makes one attempt at a batch.
func (w *worker) sendTogether(batch []*event.Delivery) {
	for _, d := range batch {
		d.Attempts++
	}
	w.span = w.startSpan(batch)
	var answer talent.Answer
	answer, w.results = w.sender.SendBatch(w.ctx, batch)
	w.answered(answer)
	w.countUnknown(answer.Err, len(batch))
	if answer.Singly {
		w.r.sendSingly(answer)
	}
	err := answer.Err
	if err == nil {
		w.r.grow(len(batch))
		w.concludeParts(batch)
		return
	}
	if err.Reason == talent.Recalled {
		w.giveBack(batch)
		return
	}
	w.count(answer)
	switch {
	case answer.Singly:
	case err.Permanent():
		// The fault is in the request as a whole, such as its size: in the end, each
		// event alone will show its own.
		w.r.judge.suspect(batch)
		w.r.shrink(len(batch), err)
	default:
		w.retry(batch, err)
		return
	}
	w.r.gate.succeed(w.pass, time.Now())
	w.giveBack(batch)
}

// giveBack returns events to the source whose attempt has no result.
func (w *worker) giveBack(batch []*event.Delivery) {
	w.r.gate.withdraw(w.pass)
	for _, d := range batch {
		d.Attempts--
	}
	w.r.source.Return(batch, 0)
}

// retry returns a batch to the source that failed as a whole.
func (w *worker) retry(batch []*event.Delivery, err *talent.Error) {
	w.r.metrics.retries[err.Reason].Add(float64(len(batch)))
	var wait time.Duration
	switch {
	case err.Reason == talent.Throttled && !w.r.limiter.answered(0, len(batch), time.Now()):
		w.r.gate.succeed(w.pass, time.Now()) // the quota is for this event alone
	case w.onlyLost(err):
		w.r.gate.withdraw(w.pass)
		wait = w.waitOwn(batch[0], err)
	default:
		wait = w.fail(err, false)
	}
	if err.Reason == talent.Throttled {
		wait = max(wait, w.waitQuota(batch[0], err))
	}
	w.r.source.Return(batch, wait)
}

// onlyLost reports whether an attempt failed with its connection and not with the
// destination. Servers close connections after a number of requests, and when they
// are reloaded. It is the destination where a new connection fails, too, or where
// more connections than there are break without an answer in between.
func (w *worker) onlyLost(err *talent.Error) bool {
	return err.Lost && !w.pass.probe && w.r.lost.Add(1) <= int64(w.r.cfg.Concurrency)
}

// fail tells the gate of a failure that concerns all requests, and the limiter of
// one for quota; some is true where some events were accepted. It returns how long
// no request starts.
func (w *worker) fail(err *talent.Error, some bool) time.Duration {
	now := time.Now()
	wait, news := w.r.gate.fail(w.pass, err, some, now)
	if news && err.Reason == talent.Throttled {
		w.r.limiter.refused(wait, err.RetryAfter > 0, now)
	}
	return wait
}

// leastQuotaWait is Google's advice for events that were refused for quota
// (cloud.google.com/service-usage/docs/troubleshooting).
const leastQuotaWait = 30 * time.Second

// waitQuota returns how long an event waits that was refused for quota: as long as
// the API asks, or else as Google advises. Other events may go sooner.
func (w *worker) waitQuota(d *event.Delivery, err *talent.Error) time.Duration {
	if err.RetryAfter > 0 {
		return err.RetryAfter
	}
	return leastQuotaWait + w.r.cfg.wait(int(d.Attempts))
}
