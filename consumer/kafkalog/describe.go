package kafkalog

import (
	"context"
	"errors"
	"sync"
)

// describer lets those that ask for the metadata of a topic at once share the answer:
// each of a thousand partitions asks when it is assigned, and the answer describes all of
// them. Nobody gets an answer to a request that was sent before the question.
type describer struct {
	mu   sync.Mutex
	next map[string]*describing // by topic: the request that is not sent yet
	turn map[string]turn
}

type describing struct {
	done  chan struct{} // closed when there is an answer
	topic Topic
	err   error
}

// ask returns the answer of do, which is that of the first to ask.
func (d *describer) ask(ctx context.Context, name string, do func() (Topic, error)) (Topic, error) {
	for {
		d.mu.Lock()
		n := d.next[name]
		if n == nil {
			break
		}
		d.mu.Unlock()
		select {
		case <-n.done:
		case <-ctx.Done():
			return Topic{}, ctx.Err()
		}
		if ctx.Err() != nil || !errors.Is(n.err, context.Canceled) && !errors.Is(n.err, context.DeadlineExceeded) {
			return n.topic, n.err
		} // the other one gave up
	}
	n := &describing{done: make(chan struct{})}
	if d.next == nil {
		d.next, d.turn = map[string]*describing{}, map[string]turn{}
	}
	if d.turn[name] == nil {
		d.turn[name] = newTurn()
	}
	mine := d.turn[name]
	d.next[name] = n
	d.mu.Unlock()
	defer close(n.done)
	select {
	case mine <- struct{}{}:
		defer func() { <-mine }()
	case <-ctx.Done():
		n.err = ctx.Err()
	}
	d.mu.Lock()
	delete(d.next, name)
	d.mu.Unlock()
	if n.err == nil {
		n.topic, n.err = do()
	}
	return n.topic, n.err
}
