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

// lifeCycle is when a tenant's jobs expire and go.
type lifeCycle struct {
	// open and expired jobs, the earliest expire time first. A job that left
	// or changed its time is passed over when it comes to the top.
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

// first is the job whose time comes first, of those for which current says
// that they are still waiting for it.
func (q *jobQueue) first(current func(deadline) bool) (deadline, bool) {
	for len(*q) > 0 {
		if d := (*q)[0]; current(d) {
			return d, true
		}
		heap.Pop(q)
	}
	return deadline{}, false
}

// enter puts a job where its expire time belongs.
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

// leave takes a job from where enter put it.
func (t *tenant) leave(j *job) {
	if j.open {
		delete(t.open, j.identity())
		t.companies[j.Company].open--
		return
	}
	t.life.expiredCount--
}

// settle does what time has done to the tenant's jobs since the last call:
// open jobs expire, expired ones are cleaned out.
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

// countOpen notes how many jobs are open at the time.
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

// openCounts is openMost as it is kept on disk.
type openCounts struct {
	Scope Scope         `json:"scope"`
	Most  map[int64]int `json:"most"`
}

// mostExpired is how many expired jobs are kept. The service's rule leaves none
// when nothing was open for 7 days; here one open job is always assumed, so
// that a job that is created expired in an empty catalog can be looked at.
func (t *tenant) mostExpired(now time.Time) int {
	most := max(1, len(t.open))
	for hour, n := range t.life.openMost {
		if hour >= hourOf(now.Add(-openWindow)) {
			most = max(most, n)
		}
	}
	return expiredShare * most
}

// jobsOf are the tenant's jobs that keep says yes to.
func (t *tenant) jobsOf(keep func(*job) bool) []*job {
	var some []*job
	for _, j := range t.jobs {
		if keep(j) {
			some = append(some, j)
		}
	}
	return slices.Clip(some)
}
