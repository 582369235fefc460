package kafkalog

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// limited is an account that lends up to limit bytes and fails where it would have
// to wait.
type limited struct {
	limit int64

	mu         sync.Mutex
	lent, most int64
}

func (a *limited) Reserve(_ context.Context, n int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lent+n > a.limit {
		return fmt.Errorf("%w: %d bytes beside %d, and %d are the limit", ErrNeverFits, n, a.lent, a.limit)
	}
	a.lent += n
	a.most = max(a.most, a.lent)
	return nil
}

func (a *limited) Release(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lent -= n; a.lent < 0 {
		panic("more released than was lent")
	}
}

// waiting is an account that has nothing to lend until it is opened.
type waiting struct {
	limited
	open chan struct{}
}

func (a *waiting) Reserve(ctx context.Context, n int64) error {
	select {
	case <-a.open:
		return a.limited.Reserve(ctx, n)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A fetch whose caller gave up returns its memory when the connection is done with it.
func TestACancelledFetchReturnsItsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		produce(t, c.franz(t), topic, strings.Repeat("v", 10_000))
		account := &waiting{limited: limited{limit: 32 << 20}, open: make(chan struct{})}
		fetch := func(after time.Duration) (*Batch, error) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			defer time.AfterFunc(after, cancel).Stop()
			return client.Fetch(ctx, FetchRequest{Topic: topic, Account: account})
		}
		_, err := fetch(time.Second) // while it waits for memory
		wantError(t, err, context.Canceled)
		close(account.open)
		c.Fake.ControlKey(kmsg.Fetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.Fake.SleepControl(func() { time.Sleep(2 * time.Second) })
			return nil, nil, false
		})
		_, err = fetch(time.Second) // while it waits for the answer
		wantError(t, err, context.Canceled)
		time.Sleep(time.Minute)
		if account.lent != 0 {
			t.Errorf("%d bytes are still lent", account.lent)
		}
		batch, err := fetch(time.Minute)
		if err != nil || batch.Memory != account.lent || batch.Memory < 10_000 {
			t.Fatalf("got error %v, and %d bytes are lent", err, account.lent)
		}
		batch.Release()
		batch.Release()
		if account.lent != 0 {
			t.Errorf("%d bytes are still lent after the release", account.lent)
		}
	})
}

// TestFewMoves: while memory runs out, records are moved to larger memory some times,
// and not once for each record. That was quadratic: a restore took minutes.
func TestFewMoves(t *testing.T) {
	const records = 20_000
	d := &decoder{batch: &Batch{}, loan: &loan{account: unlimited{}, held: records * recordCost}}
	moves := 0
	for {
		before := cap(d.batch.Records)
		if err := d.push(Record{}, 2*records); err != nil {
			break
		}
		if cap(d.batch.Records) != before {
			moves++
		}
	}
	if n := len(d.batch.Records); moves > 60 || n < records/4 {
		t.Errorf("%d records were moved %d times", n, moves)
	}
}
