package quality

import (
	"container/list"
	"hash/maphash"
	"iter"
)

// journeys are those that are not judged for good, in bounded memory.
type journeys struct {
	seed  maphash.Seed
	most  int // jobs of journeys
	pairs int
	byID  map[uint64]*list.Element // of *journey
	order *list.List               // by their beginning
}

// journey is what is remembered of one request ID.
type journey struct {
	id    uint64
	began int64 // the number of the interval
	jobs  []pair
	index map[uint64]int32 // of jobs; nil while they are few
}

// pair is a job of a journey.
type pair struct {
	job   uint64
	types types
}

func newJourneys(most int) journeys {
	return journeys{seed: maphash.MakeSeed(), most: most, byID: map[uint64]*list.Element{}, order: list.New()}
}

// add adds an event, and calls full with the journeys that are forgotten to bound the
// memory: those that began first, or one that has a quarter of all jobs by itself.
func (js *journeys) add(requestID string, of types, jobs []string, now int64, full func(*journey)) {
	j := js.journey(maphash.String(js.seed, requestID), now)
	for _, name := range jobs {
		js.pairs += j.add(maphash.String(js.seed, name), of)
		if len(j.jobs) > js.most/4 {
			full(js.remove(js.byID[j.id]))
			j = js.journey(j.id, now)
		}
	}
	for js.pairs > js.most {
		full(js.remove(js.order.Front()))
	}
}

// first returns the journey that began first; nil if there is none.
func (js *journeys) first() *journey {
	if e := js.order.Front(); e != nil {
		return e.Value.(*journey)
	}
	return nil
}

func (js *journeys) remove(e *list.Element) *journey {
	j := js.order.Remove(e).(*journey)
	delete(js.byID, j.id)
	js.pairs -= len(j.jobs)
	return j
}

// all yields the journeys by their beginning.
func (js *journeys) all() iter.Seq[*journey] {
	return func(yield func(*journey) bool) {
		for e := js.order.Front(); e != nil; e = e.Next() {
			if !yield(e.Value.(*journey)) {
				return
			}
		}
	}
}

func (js *journeys) journey(id uint64, now int64) *journey {
	if e := js.byID[id]; e != nil {
		return e.Value.(*journey)
	}
	j := &journey{id: id, began: now}
	js.byID[id] = js.order.PushBack(j)
	return j
}

// few is the number of jobs up to which a search is faster than an index.
const few = 32

// add returns 1 if the job is new in the journey, otherwise 0.
func (j *journey) add(job uint64, of types) int {
	if i := j.find(job); i >= 0 {
		j.jobs[i].types |= of
		return 0
	}
	j.jobs = append(j.jobs, pair{job, of})
	switch n := len(j.jobs); {
	case j.index != nil:
		j.index[job] = int32(n - 1)
	case n > few:
		j.index = make(map[uint64]int32, 2*n)
		for i, p := range j.jobs {
			j.index[p.job] = int32(i)
		}
	}
	return 1
}

// find returns the number of a job; -1 if the journey does not have it.
func (j *journey) find(job uint64) int {
	if j.index != nil {
		if i, ok := j.index[job]; ok {
			return int(i)
		}
		return -1
	}
	for i := range j.jobs {
		if j.jobs[i].job == job {
			return i
		}
	}
	return -1
}
