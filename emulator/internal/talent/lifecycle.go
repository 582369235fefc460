package talent

import (
	"container/heap"
	"slices"
	"time"
)

const (
	// postingTime: "the job posting expires after 30 days from the job's
	// creation time".
	postingTime = 30 * 24 * time.Hour
	// retention: "The expired jobs are retained in our system for 90 days".
	retention = 90 * 24 * time.Hour
	// expiredShare: "the overall expired job count cannot exceed 3 times the
	// maximum number of open jobs over previous 7 days".
	expiredShare = 3
	openWindow   = 7 * 24 * time.Hour
)

// lifeCycle has the times at which a tenant's jobs expire and are deleted.
type lifeCycle struct {
	// open and expired have jobs by their expire time. A job that left, or
	// whose time changed, is skipped when it comes first.
	open, expired jobQueue
	expiredCount  int
	// openMost is the largest number of open jobs in each hour (since 1970)
	// of the window.
	openMost map[int64]int
}

func newLifeCycle() lifeCycle { return lifeCycle{openMost: map[int64]int{}} }

// deadline is a job in a queue.
type deadline struct {
	at  time.Time
	job *job
}

type jobQueue []deadline

func (q jobQueue) Len() int           { return len(q) }
func (q jobQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q jobQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *jobQueue) Push(x any)        { *q = append(*q, x.(deadline)) }
func (q *jobQueue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = deadline{}
	*q = (*q)[:len(*q)-1]
	return last
}

// first returns the job with the earliest time for which current returns true.
func (q *jobQueue) first(current func(deadline) bool) (deadline, bool) {
	for len(*q) > 0 {
		if d := (*q)[0]; current(d) {
			return d, true
		}
		heap.Pop(q)
	}
	return deadline{}, false
}

// enter adds a job to the queue for its expire time.
func (t *tenant) enter(j *job, now time.Time) {
	j.open = now.Before(j.Expires)
	if j.open {
		t.open[j.identity()] = j
		t.companies[j.Company].open++
		heap.Push(&t.life.open, deadline{j.Expires, j})
		return
	}
	t.life.expiredCount++
	heap.Push(&t.life.expired, deadline{j.Expires, j})
}

// leave removes a job from its queue.
func (t *tenant) leave(j *job) {
	if j.open {
		delete(t.open, j.identity())
		t.companies[j.Company].open--
		return
	}
	t.life.expiredCount--
}

// settle applies the time since the last call: open jobs expire, and expired jobs are
// cleaned out.
func (c *Catalog) settle(t *tenant, now time.Time) {
	life := &t.life
	isOpen := func(d deadline) bool { return t.jobs[d.job.ID] == d.job && d.job.open && d.job.Expires.Equal(d.at) }
	for d, ok := life.open.first(isOpen); ok && !now.Before(d.at); d, ok = life.open.first(isOpen) {
		c.countOpen(t, d.at)
		t.leave(d.job)
		t.enter(d.job, now)
	}
	isExpired := func(d deadline) bool { return t.jobs[d.job.ID] == d.job && !d.job.open && d.job.Expires.Equal(d.at) }
	most := t.mostExpired(now)
	for d, ok := life.expired.first(isExpired); ok; d, ok = life.expired.first(isExpired) {
		// "Expired jobs are cleaned out in order of earliest expire time".
		if now.Before(d.at.Add(retention)) && life.expiredCount <= most {
			break
		}
		c.forgetJob(t, d.job)
	}
}

// countOpen records the number of open jobs at the time.
func (c *Catalog) countOpen(t *tenant, now time.Time) {
	hour := hourOf(now)
	if len(t.open) <= t.life.openMost[hour] {
		return
	}
	t.life.openMost[hour] = len(t.open)
	for old := range t.life.openMost {
		if old < hourOf(now.Add(-openWindow)) {
			delete(t.life.openMost, old)
		}
	}
	c.disk.put(bucketOpenCounts, t.scope.String(), openCounts{t.scope, t.life.openMost})
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// openCounts is the stored form of openMost.
type openCounts struct {
	Scope Scope         `json:"scope"`
	Most  map[int64]int `json:"most"`
}

// mostExpired returns the maximum number of expired jobs. By the service's rule it is
// 0 after 7 days without open jobs. The emulator assumes at least one open job, so
// that an empty catalog accepts a job that is created expired.
func (t *tenant) mostExpired(now time.Time) int {
	most := max(1, len(t.open))
	for hour, n := range t.life.openMost {
		if hour >= hourOf(now.Add(-openWindow)) {
			most = max(most, n)
		}
	}
	return expiredShare * most
}

// jobsOf returns the tenant's jobs for which keep returns true.
func (t *tenant) jobsOf(keep func(*job) bool) []*job {
	var some []*job
	for _, j := range t.jobs {
		if keep(j) {
			some = append(some, j)
		}
	}
	return slices.Clip(some)
}
