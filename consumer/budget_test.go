package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// taken accounts n records.
func taken(a *account, n int) *chunk {
	return a.take(&kafkalog.Batch{Records: make([]kafkalog.Record, n)})
}

// finish gives up one record of a chunk.
func finish(c *chunk) {
	var f freed
	c.release(&f)
	c.account.giveBack(f)
}

// woken reports whether freed has woken its waiters.
func woken(freed <-chan struct{}) bool {
	select {
	case <-freed:
		return true
	default:
		return false
	}
}

func TestBudgetWakesOnlyForRoom(t *testing.T) {
	b := newBudget(limits{bytes: 1 << 30, records: 10, large: 64 << 20, ahead: 10})
	b.share(nil, 2)
	first, second := &account{budget: b}, &account{budget: b}
	one, other := taken(first, 8), taken(second, 4)
	full, freed := first.state()
	if !full {
		t.Fatal("12 records of 10 leave room")
	}
	finish(one)
	finish(other)
	if woken(freed) {
		t.Error("what is given back of a budget that stays full wakes those that wait")
	}
	finish(one)
	if !woken(freed) {
		t.Error("the budget has room, and no waiter is woken")
	}
}

func TestBudgetWakesForItsShare(t *testing.T) {
	b := newBudget(limits{bytes: 1 << 30, records: 10, large: 64 << 20, ahead: 10})
	b.share(nil, 4) // a partition may have twice its share of 2.5, which is 5
	a := &account{budget: b}
	chunk := taken(a, 6)
	full, freed := a.state()
	if !full {
		t.Fatal("6 records of 5 leave room")
	}
	finish(chunk)
	if woken(freed) {
		t.Error("what is given back of a share that stays full wakes those that wait")
	}
	finish(chunk)
	if !woken(freed) {
		t.Error("the share has room, and no waiter is woken")
	}
}

// Many goroutines release memory at once; a waiter must find the room.
func TestBudgetForgetsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(limits{bytes: 1 << 30, records: 64, large: 64 << 20, ahead: 64})
		for range 200 {
			a := &account{budget: b}
			chunk := taken(a, 64)
			found := make(chan error, 1)
			go func() { found <- a.room(t.Context()) }()
			synctest.Wait()
			for range 64 {
				go finish(chunk)
			}
			synctest.Wait()
			select {
			case err := <-found:
				if err != nil {
					t.Fatal(err)
				}
			default:
				t.Fatal("the budget is empty, and the one that waits for room sleeps on")
			}
		}
	})
}

// TestParkedRecordKeepsItsContent: a record that waits shares its value with its event, and
// is whole when it becomes a dead letter, although its fetch is gone.
func TestParkedRecordKeepsItsContent(t *testing.T) {
	const text = `{"eventId":"e","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/1"]}}`
	for name, value := range map[string]string{"as usual": text, "with a null": strings.Replace(text, "{", `{"parentEventId":null,`, 1)} {
		b := newBudget(limits{bytes: 1 << 30, records: 1000, large: 64 << 20, ahead: 10})
		account := &account{budget: b}
		fetched := []byte(value)
		r := &record{Key: fetched[:5], Value: fetched}
		it := newItem(r, taken(account, 1))
		o := &owner{c: &Consumer{cfg: Config{Decoder: JSON(event.V3)}, budget: b}, account: account, partition: partition.New(partition.Config{})}
		if err := o.read(it, r); err != nil {
			t.Fatal(err)
		}
		if fault := it.Fault(); fault != nil {
			t.Fatal(fault)
		}
		var f freed
		it.park(&f)
		account.giveBack(f)
		if held := account.bytes.Load(); held != recordOverhead+sizeOf(it.record) {
			t.Errorf("%s: %d bytes are booked, want those of the record alone", name, held)
		}
		clear(fetched)
		if shared := it.record.Value == nil; shared != (name == "as usual") {
			t.Errorf("%s: the record shares its value: %t", name, shared)
		}
		if got := it.pin(); string(got.Value) != value || string(got.Key) != value[:5] {
			t.Errorf("%s: after the wait key %q, value %q; want %q, %q", name, got.Key, got.Value, value[:5], value)
		}
	}
}

// What is read ahead is enough: who fetches waits until some of it is finished, or
// for its patience; and what others are expected to bring counts.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(limits{bytes: 1 << 30, records: 1000, large: 64 << 20, ahead: 10})
		one, other := &account{budget: b}, &account{budget: b}
		waits := func(what string, a *account, want time.Duration) {
			t.Helper()
			began := time.Now()
			a.turn(t.Context(), time.Second)
			if waited := time.Since(began); waited != want {
				t.Errorf("%s: waited %v, want %v", what, waited, want)
			}
		}
		waits("with nothing in process", one, 0)
		one.came(6, true)
		first := taken(one, 6)
		waits("with 6 of 10 in process", one, 0)
		one.came(0, false)
		waits("at the end of what there is", one, 0)
		waits("with 6 in process, and nothing expected of who is at the end", other, 0)
		other.came(0, true)
		one.came(6, true)
		waits("with 6 in process, and 6 that are not yet", other, time.Second)
		other.came(0, true)
		second := taken(one, 6)
		for range 6 {
			finish(second)
		}
		waits("with more behind the 6", one, 0)
		waits("with 6 in process, and 6 expected", other, time.Second)
		other.came(0, true)
		one.came(0, true)
		waits("when they did not come", other, 0)
		other.came(0, true)
		more := taken(other, 4)
		waits("with 10 in process", one, time.Second)
		one.came(0, true)
		time.AfterFunc(time.Millisecond, func() { finish(more) })
		waits("until one is finished", one, time.Millisecond)
		one.came(0, true)
		child := func() *chunk {
			c := new(chunk)
			var f freed
			c.park(one, 100, &f)
			one.giveBack(f)
			return c
		}
		children := []*chunk{child()}
		waits("with 9 in process and one that waits for another", one, 0)
		one.came(0, true)
		for range 9 {
			children = append(children, child())
		}
		waits("with 9 in process and 10 that wait for others", one, time.Second)
		one.came(0, true)
		for range 5 {
			finish(first)
		}
		waits("with 4 in process and 10 that wait for others", one, 0)
		one.came(0, true)
		for _, child := range children {
			finish(child)
		}
		finish(first)
		one.close()
		other.close()
		if b.moving != 0 || b.records != 0 || b.bytes != 0 || b.expected != 0 {
			t.Errorf("%d records of which %d move, %d bytes and %d expected are left", b.records, b.moving, b.bytes, b.expected)
		}
	})
}

// TestManyPartitionsReadNoFurtherAhead: a turn of a thousand partitions takes 5 s to come,
// and none of them fetches before.
func TestManyPartitionsReadNoFurtherAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, ahead, fetched, rounds = 1000, 3200, 100, 3
		b := newBudget(limits{bytes: 1 << 30, records: 1 << 20, large: 64 << 20, ahead: ahead})
		b.share(nil, partitions)
		chunks := make(chan *chunk, partitions*rounds)
		for range partitions {
			go func() {
				a := &account{budget: b, last: fetched}
				for range rounds {
					a.turn(t.Context(), b.patience())
					a.came(fetched, true)
					chunks <- taken(a, fetched)
				}
			}()
		}
		for range partitions * rounds {
			c := <-chunks
			time.Sleep(5 * time.Millisecond) // 20,000 records/s
			synctest.Wait()
			if most := int64(ahead + 2*fetched); b.moving > most {
				t.Fatalf("%d records are read ahead, want at most %d", b.moving, most)
			}
			for range fetched {
				finish(c)
			}
		}
	})
}

func TestNextAsk(t *testing.T) {
	batch := func(wire, records int, cut bool) *kafkalog.Batch {
		return &kafkalog.Batch{Wire: wire, Records: make([]kafkalog.Record, records), Cut: cut}
	}
	for _, c := range []struct {
		what       string
		ask, wants int
		got        *kafkalog.Batch
		want       int
	}{
		{"nothing came", 100_000, 500, batch(0, 0, false), 100_000},
		{"more than was wanted came", 100_000, 500, batch(70_000, 400, true), 70_000},
		{"records are larger than thought", 100_000, 500, batch(90_000, 300, false), 150_000},
		{"records are much larger", 100_000, 500, batch(90_000, 10, false), 200_000},
		{"records are smaller", 100_000, 500, batch(60_000, 400, false), 75_000},
		{"records are tiny", 100_000, 500, batch(60_000, 6_000, false), 50_000},
		{"few came", 20_000, 500, batch(10, 1, false), firstAsk / 8},
	} {
		if got := nextAsk(c.ask, c.wants, c.got); got != c.want {
			t.Errorf("%s: asks for %d, want %d", c.what, got, c.want)
		}
	}
}

// TestParkedChildrenLetParentsIn checks that children that wait for a parent and use up
// the memory keep neither their parent from being fetched nor other partitions.
func TestParkedChildrenLetParentsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const children = 3000
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 2, nil)
		view := func(i int) []byte {
			return fmt.Appendf(nil, `{"eventId":"v%d","requestId":"r","createTime":"2026-01-02T03:04:06Z","parentEventId":"e1",`+
				`"jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/1"]}}`, i)
		}
		for i := 0; i < children; i += 100 {
			records := make([]kafkalog.Record, 100)
			for j := range records {
				records[j].Value = view(i + j)
			}
			write(t, cluster, "events", 0, kafkalog.Zstd, records...)
		}
		write(t, cluster, "events", 0, kafkalog.Zstd, kafkalog.Record{Value: eventWith(1, "")})
		write(t, cluster, "events", 1, kafkalog.Zstd, kafkalog.Record{Value: eventWith(2, "")})
		c, stop := consuming(t, cluster, &acceptingSink{}, func(c *Config) {
			c.MaxInFlightBytes = 4 << 20
			c.Rules.ParentsWait = time.Hour
		})
		kafkatest.WaitFor(t, time.Minute, "all events", func() bool {
			outcomes, _ := c.Counts()
			return outcomes["reported"] == children+2
		})
		stop()
	})
}

// keepingSink keeps deliveries until the test ends them.
type keepingSink struct {
	acceptingSink
	kept chan *event.Delivery
}

func (s *keepingSink) Accept(ds []*event.Delivery) {
	for _, d := range ds {
		s.kept <- d
	}
}

// TestChildrenMoveWhenTheirWaitIsOver: a child counts as read ahead again when its parent
// was reported; otherwise more and more would be read while children wait to be sent.
func TestChildrenMoveWhenTheirWaitIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		child := kafkalog.Record{Value: fmt.Appendf(nil, `{"eventId":"v","requestId":"r","createTime":"2026-01-02T03:04:06Z",`+
			`"parentEventId":"e1","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/1"]}}`)}
		write(t, cluster, "events", 0, kafkalog.Zstd, kafkalog.Record{Value: eventWith(1, "")}, child)
		sink := &keepingSink{kept: make(chan *event.Delivery, 2)}
		c, stop := consuming(t, cluster, sink)
		want := func(when string, moving, records int64) {
			t.Helper()
			synctest.Wait()
			c.budget.mu.Lock()
			defer c.budget.mu.Unlock()
			if b := c.budget; b.moving != moving || b.records != records {
				t.Errorf("%s: %d records, of which %d move; want %d and %d", when, b.records, b.moving, records, moving)
			}
		}
		for _, step := range []struct {
			id              string
			moving, records int64
		}{{"e1", 1, 2}, {"v", 1, 1}} {
			d := <-sink.kept
			time.Sleep(time.Second) // what was reported before is recorded
			want("with "+step.id+" sent", step.moving, step.records)
			d.Done(event.Outcome{Kind: event.Accepted})
		}
		time.Sleep(time.Second)
		want("at the end", 0, 0)
		stop()
	})
}

// TestReserve checks that a reservation waits for memory, and fails if it can never have
// so much.
func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(limits{bytes: 4 << 20, records: 100, large: 16 << 20, ahead: 100}) // 26 MiB at most
		one, other := &account{budget: b}, &account{budget: b}
		if err := one.Reserve(t.Context(), 15<<20); err != nil {
			t.Fatal(err)
		}
		if err := one.Reserve(t.Context(), 10<<20); !errors.Is(err, kafkalog.ErrNeverFits) {
			t.Errorf("25 MiB for one batch: got %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- other.Reserve(t.Context(), 12<<20) }()
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal("27 MiB of 26 are lent")
		}
		one.Release(1 << 20)
		synctest.Wait()
		if len(done) != 1 || <-done != nil {
			t.Fatal("memory is free, and the reservation waits")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := other.Reserve(ctx, 2<<20); !errors.Is(err, kafkalog.ErrNoMemory) || !other.starved.Load() {
			t.Errorf("got %v", err)
		}
		one.close()
		other.close()
		if b.held() != 0 {
			t.Errorf("%d bytes are held", b.held())
		}
	})
}

// The account follows the memory limit of the process, unless it is set.
func TestBudgetFollowsTheMemoryLimit(t *testing.T) {
	const mebi = 1 << 20
	for _, test := range []struct{ memory, set, bytes, large int64 }{
		{0, 0, 32 * mebi, 128 * mebi},
		{48 * mebi, 0, 4 * mebi, 8 * mebi},
		{240 * mebi, 0, 20 * mebi, 30 * mebi},
		{240 * mebi, 64 * mebi, 64 * mebi, 30 * mebi},
		{64 << 30, 0, 256 * mebi, 128 * mebi},
	} {
		c := New(Config{Memory: test.memory, MaxInFlightBytes: test.set}, nil)
		if l := c.budget.limits; l.bytes != test.bytes || l.large != test.large {
			t.Errorf("with %d MiB, of which %d are set: %d MiB for records and %d for a large batch, expected %d and %d",
				test.memory/mebi, test.set/mebi, l.bytes/mebi, l.large/mebi, test.bytes/mebi, test.large/mebi)
		}
	}
}
