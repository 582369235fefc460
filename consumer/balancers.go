package consumer

import (
	"sync"

	"github.com/segmentio/kafka-go"
)

// balancers are the ways in which a leader hands out partitions, with a record
// of how many there were: when the topic has got more since, only the member
// that did the handing-out can tell. (The library's own watcher can leave a
// member with no partition for ever: segmentio/kafka-go#1314.)
type balancers struct {
	topic string

	mu     sync.Mutex
	dealt  int // partitions of the last assignment made here
	leader bool
}

func newBalancers(topic string) *balancers { return &balancers{topic: topic} }

func (b *balancers) all() []kafka.GroupBalancer {
	return []kafka.GroupBalancer{
		&recordingBalancer{kafka.RangeGroupBalancer{}, b},
		&recordingBalancer{kafka.RoundRobinGroupBalancer{}, b},
	}
}

// take says whether this member dealt out the partitions of the generation that
// begins, and how many; the next generation begins unknown.
func (b *balancers) take() (partitions int, leader bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	partitions, leader = b.dealt, b.leader
	b.dealt, b.leader = 0, false
	return partitions, leader
}

type recordingBalancer struct {
	kafka.GroupBalancer
	record *balancers
}

func (r *recordingBalancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	count := 0
	for _, p := range partitions {
		if p.Topic == r.record.topic {
			count++
		}
	}
	r.record.mu.Lock()
	r.record.dealt, r.record.leader = count, true
	r.record.mu.Unlock()
	return r.GroupBalancer.AssignGroups(members, partitions)
}
