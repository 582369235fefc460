package reporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/reporter/wire"
)

// worker sends one request at a time. Its buffers live as long as it does.
type worker struct {
	r *Reporter

	// What admit allowed.
	ctx   context.Context // ends with Abort
	pass  pass
	trial bool // of the judge

	batch    []*event.Delivery // that is being sent
	deadline deadline
	span     trace.Span // of the request; nil where it is not traced
	heads    *heads

	// What sends an event by itself.
	lane *wire.Lane
	body []byte

	// What sends a batch.
	req     *http.Request
	payload *payload
	sending *payload
	writer  *batchWriter
	reader  *partReader
	part    part

	results    []result
	refused    []held
	again      []*event.Delivery // to be put back
	againAfter time.Duration
}

// result is what came of one event.
type result struct {
	status int    // the HTTP status of its answer; 0 where there was none
	err    *Error // nil for accepted
}

func (r *Reporter) newWorker() *worker {
	return &worker{
		r:      r,
		lane:   r.singles.NewLane(),
		writer: newBatchWriter(r.create.EscapedPath(), r.batchID, r.cfg.Version),
		reader: newPartReader(),
	}
}

func (w *worker) run(ctx context.Context) {
	defer w.lane.Close()
	defer w.deadline.drop()
	var batch []*event.Delivery
	for {
		var err error
		if batch, err = w.r.source.Next(ctx, batch[:0], w.admit); err != nil {
			return
		}
		n := len(batch)
		w.send(batch)
		if w.r.limiter.done(n) {
			w.r.source.Poke()
		}
		clear(batch)
	}
}

// leaseWait is how soon to look again when the partitions may not be ours.
const leaseWait = 100 * time.Millisecond

// admit says how many of n events may go now in one request, or when to ask
// again. It runs for one worker at a time.
func (w *worker) admit(n int, now time.Time) (allowed int, wait time.Duration) {
	// Counted before the look at the pause, so that whoever pauses and then sees
	// no request can be sure that there is none.
	w.r.requests.Add(1)
	if !w.r.paused.Load() { // otherwise, until Pause pokes
		allowed, wait = w.admitUnpaused(n, now)
	}
	if allowed == 0 {
		w.r.requests.Add(-1)
	}
	return allowed, wait
}

func (w *worker) admitUnpaused(n int, now time.Time) (int, time.Duration) {
	r := w.r
	if r.cfg.Lease != nil && !r.cfg.Lease(now) {
		return 0, leaseWait
	}
	p, wait, open := r.gate.check(now)
	if !open {
		return 0, wait
	}
	if !r.authorized(now) {
		return 0, 0
	}
	if n, wait = r.judge.check(n, now); n == 0 {
		return 0, wait
	}
	if n, wait = r.limiter.take(n, now); n == 0 {
		return 0, wait
	}
	r.gate.enter(p)
	w.pass, w.trial, w.ctx = p, r.judge.enter(), r.requestContext()
	return n, 0
}

// authorized says whether there is an access token. Without one nothing is
// taken: an attempt without a token would say nothing about the destination.
func (r *Reporter) authorized(now time.Time) bool {
	if r.tokens == nil {
		return true
	}
	if !r.tokens.Ready(now) {
		r.tokenless.run(now, time.Time{})
		return false
	}
	r.tokenless.stop(now)
	return true
}

// send makes one attempt at a batch and deals with what came of it.
func (w *worker) send(batch []*event.Delivery) {
	defer w.r.requests.Add(-1)
	batch = w.withoutOversized(batch)
	w.batch = batch
	switch len(batch) {
	case 0:
		w.r.gate.withdraw(w.pass)
	case 1:
		w.sendAlone(batch)
	default:
		w.sendTogether(batch)
	}
	if w.trial {
		w.r.judge.end()
	}
}

// withoutOversized sorts out the events that no request can hold.
func (w *worker) withoutOversized(batch []*event.Delivery) []*event.Delivery {
	const escaped = len(`\u0000`) // what one byte may become in JSON
	kept := batch[:0]
	for _, d := range batch {
		if d.Size()*escaped > maxBody {
			if size := len(d.AppendRequest(nil, w.r.cfg.Version)); size > maxBody {
				w.tooLarge(d, 0, fmt.Sprintf("the event is %d bytes as a request: at most %d are sent", size, maxBody))
				continue
			}
		}
		kept = append(kept, d)
	}
	return kept
}

func (w *worker) tooLarge(d *event.Delivery, status int, detail string) {
	d.Done(d, event.Outcome{Kind: event.TooLarge, HTTPStatus: status, Detail: detail})
	w.r.source.Settle(1)
}

// sendAlone makes one attempt at a batch of one event.
func (w *worker) sendAlone(batch []*event.Delivery) {
	d := batch[0]
	d.Attempts++
	w.span = w.startSpan(batch)
	w.body = d.AppendRequest(w.body[:0], w.r.cfg.Version)
	status, err := w.exchange(w.body)
	endSpan(w.span, status, err)
	w.count(status, err)
	switch {
	case err == nil || err.permanent():
		w.r.limiter.accepted(1)
		w.r.gate.succeed(w.pass)
		w.r.grow(1)
		w.results = append(w.results[:0], result{status, err})
		w.conclude(batch, nil)
	case err.Reason == recalled:
		w.giveBack(batch)
	default:
		w.retry(batch, err)
	}
}

// count counts a request that was answered as a whole, or not at all.
func (w *worker) count(status int, err *Error) {
	if err == nil || (err.Reason != recalled && !err.unsent) {
		w.r.metrics.answers(status, 1)
	}
}

// sendTogether makes one attempt at a batch.
func (w *worker) sendTogether(batch []*event.Delivery) {
	for _, d := range batch {
		d.Attempts++
	}
	p := w.emptyPayload()
	p.data = w.writer.appendBatch(p.data, batch)
	w.span = w.startSpan(batch)
	status, err := w.exchangeBatch(p, func(ctx context.Context, resp *http.Response) *Error { return w.readParts(ctx, resp, len(batch)) })
	endSpan(w.span, status, err)
	if err == nil {
		w.r.grow(len(batch))
		w.concludeParts(batch)
		return
	}
	if err.Reason == recalled {
		w.giveBack(batch)
		return
	}
	w.count(status, err)
	switch {
	case noBatches(status):
		w.r.sendSingly(status)
	case err.permanent():
		// Something about the request as a whole, its size perhaps: in the end,
		// each event by itself will say what.
		w.r.shrink(len(batch), err)
	default:
		w.retry(batch, err)
		return
	}
	w.r.gate.succeed(w.pass)
	w.giveBack(batch)
}

// giveBack puts events back whose attempt says nothing about them.
func (w *worker) giveBack(batch []*event.Delivery) {
	w.r.gate.withdraw(w.pass)
	for _, d := range batch {
		d.Attempts--
	}
	w.r.source.Return(batch, 0)
}

// retry puts a batch back that failed as a whole.
func (w *worker) retry(batch []*event.Delivery, err *Error) {
	w.r.metrics.retries[err.Reason].Add(float64(len(batch)))
	var wait time.Duration
	if err.Reason == Throttled && !w.r.limiter.exhausted(1) {
		w.r.gate.succeed(w.pass) // it is for this one alone
	} else {
		wait = w.fail(err, false)
	}
	if err.Reason == Throttled {
		wait = max(wait, w.waitQuota(batch[0], err))
	}
	w.r.source.Return(batch, wait)
}

// fail tells the gate of a failure that concerns all requests, and the limiter
// of one for quota; some says that some events were taken. It returns how long
// nothing goes.
func (w *worker) fail(err *Error, some bool) time.Duration {
	wait, news := w.r.gate.fail(w.pass, err, some)
	if news && err.Reason == Throttled {
		w.r.limiter.refused(wait, err.RetryAfter > 0)
	}
	return wait
}

// waitQuota is how long an event waits that was refused for quota: as long as
// the API asks, or else as Google advises. Others need not wait for that long.
func (w *worker) waitQuota(d *event.Delivery, err *Error) time.Duration {
	if err.RetryAfter > 0 {
		return err.RetryAfter
	}
	return longWait + w.r.cfg.wait(d.Attempts)
}

// errMalformed is for answers to batches that are not what they should be.
var errMalformed = errors.New("malformed answer to a batch")

// readParts reads the result of each of n events out of an answer. What was
// read before an answer breaks off is known all the same.
func (w *worker) readParts(ctx context.Context, resp *http.Response, n int) *Error {
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") || params["boundary"] == "" {
		return &Error{Reason: BadAnswer, Status: resp.StatusCode, Err: fmt.Errorf(
			"the answer to a batch is %q: want multipart/mixed", oneLine(resp.Header.Get("Content-Type")))}
	}
	w.results = append(w.results[:0], make([]result, n)...)
	w.reader.reset(resp.Body, params["boundary"])
	now := time.Now()
	for position := 0; ; position++ {
		if err := w.reader.next(&w.part); err != nil {
			return w.unanswered(ctx, resp.Body, err)
		}
		if i, ok := w.part.index(w.r.batchID, position); ok && i < n && !answered(w.results[i]) {
			err := w.part.result(now)
			err.hide(w.heads.token, w.batch[i:i+1])
			w.results[i] = result{w.part.status, err}
		}
	}
}

// answered says whether a part of the answer was for this event, be it one that
// makes no sense.
func answered(r result) bool { return r.status != 0 || r.err != nil }

func (p *part) result(now time.Time) *Error {
	if p.status == 0 {
		return &Error{Reason: BadAnswer, Err: fmt.Errorf("%w: a part is not an HTTP answer", errMalformed)}
	}
	return classify(p.status, p.retryAfter, p.body, now)
}

// unanswered deals with the end of an answer: io.EOF, or what broke it off.
func (w *worker) unanswered(ctx context.Context, rest io.Reader, end error) *Error {
	failure := &Error{Reason: BadAnswer, Err: fmt.Errorf("%w: it has no part for this event", errMalformed)}
	switch {
	case errors.Is(end, io.EOF):
		_ = discard(ctx, rest) // whatever it says, all parts are read
	default:
		failure = networkError(ctx, end)
	}
	for i := range w.results {
		if !answered(w.results[i]) {
			w.results[i].err = failure
		}
	}
	return nil
}

// concludeParts counts the answers to a batch's events and tells the gate. When
// a part was throttled, or nothing was taken and some failed for now, that is
// about the destination.
func (w *worker) concludeParts(batch []*event.Delivery) {
	w.countParts()
	var worst *Error
	taken, recall := 0, false
	throttled := 0
	for _, res := range w.results {
		switch err := res.err; {
		case err == nil || err.permanent():
			taken++
		case err.Reason == recalled:
			recall = true
		case err.Status == http.StatusUnauthorized:
			w.refusedToken(w.heads.token)
			fallthrough
		default:
			if err.Reason == Throttled {
				throttled++
			}
			worst = worse(worst, err)
		}
	}
	w.r.limiter.accepted(taken)
	delay := w.waitOwn
	switch {
	case worst != nil && (taken == 0 || worst.Reason == Throttled):
		var wait time.Duration
		if worst.Reason == Throttled && !w.r.limiter.exhausted(throttled) {
			w.r.gate.succeed(w.pass) // it is for those alone
		} else {
			wait = w.fail(worst, taken > 0)
		}
		delay = func(d *event.Delivery, err *Error) time.Duration {
			switch {
			case err.Reason == Throttled:
				return max(wait, w.waitQuota(d, err))
			case taken > 0:
				return w.waitOwn(d, err)
			}
			return max(wait, err.RetryAfter)
		}
	case recall && taken == 0:
		w.r.gate.withdraw(w.pass)
	default:
		w.r.gate.succeed(w.pass)
	}
	w.conclude(batch, delay)
}

// waitOwn is how long an event waits that failed for itself.
func (w *worker) waitOwn(d *event.Delivery, err *Error) time.Duration {
	if err.RetryAfter > 0 {
		return err.RetryAfter
	}
	return w.r.cfg.wait(d.Attempts)
}

func worse(a, b *Error) *Error {
	switch {
	case a == nil:
		return b
	case (a.Reason == Throttled) != (b.Reason == Throttled):
		if a.Reason == Throttled {
			return a
		}
		return b
	case b.RetryAfter > a.RetryAfter:
		return b
	}
	return a
}

// countParts counts equal answers together: most are.
func (w *worker) countParts() {
	run, status := 0, 0
	for _, res := range w.results {
		if res.err != nil && res.err.Reason == recalled {
			continue
		}
		if of := res.status; of != status {
			w.r.metrics.answers(status, run)
			run, status = 0, of
		}
		run++
	}
	w.r.metrics.answers(status, run)
}

// conclude tells the outcomes in w.results, or puts events back: those that
// failed for now for a delay.
func (w *worker) conclude(batch []*event.Delivery, delay func(*event.Delivery, *Error) time.Duration) {
	accepted := false
	w.refused = w.refused[:0]
	for i, d := range batch {
		switch err := w.results[i].err; {
		case err == nil:
			accepted = true
		case err.Reason == Refused:
			w.refused = append(w.refused, held{d, event.Outcome{Kind: event.Rejected, HTTPStatus: err.Status, Detail: err.Err.Error()}})
		}
	}
	w.r.judge.answered(accepted, w.refused, w.trial)
	w.r.source.Settle(len(w.refused))
	clear(w.refused)
	for i, d := range batch {
		switch err := w.results[i].err; {
		case err == nil:
			d.Done(d, event.Outcome{Kind: event.Accepted})
		case err.Reason == Refused:
		case err.Reason == TooLarge:
			w.tooLarge(d, err.Status, err.Err.Error())
		case err.Reason == recalled:
			w.putBack(d, 0)
		default:
			w.r.metrics.retries[err.Reason].Inc()
			w.putBack(d, delay(d, err))
		}
	}
	w.putBackAll()
}

// putBack puts an event back after those that have the same delay, since what
// comes back together goes together.
func (w *worker) putBack(d *event.Delivery, delay time.Duration) {
	if delay != w.againAfter {
		w.putBackAll()
	}
	w.again, w.againAfter = append(w.again, d), delay
}

func (w *worker) putBackAll() {
	w.r.source.Return(w.again, w.againAfter)
	clear(w.again)
	w.again = w.again[:0]
}
