package group

import (
	"cmp"
	"maps"
	"slices"
)

// claim is a member that wants partitions of a topic, and those of them that it
// holds.
type claim struct {
	member     string
	owned      []int32
	generation int32 // when owned was assigned
}

// assign distributes the partitions 0 to n-1 of a topic: evenly to within one,
// and so that as few as possible move. The result depends on the claims alone,
// not on their order.
//
// A partition that moves is assigned to no member for now: its owner has to give it
// up first and joins again then. So two members never hold the same partition,
// even where stale claims exist.
func assign(n int32, claims []claim) map[string][]int32 {
	claims = slices.SortedFunc(slices.Values(claims), func(a, b claim) int { return cmp.Compare(a.member, b.member) })
	owner := owners(n, claims)
	target := balance(n, claims, owner)
	for member, partitions := range target {
		target[member] = slices.DeleteFunc(partitions, func(p int32) bool {
			return owner[p] != member && claimed(claims, member, p)
		})
	}
	return target
}

// claimed reports whether another member than the given one claims p.
func claimed(claims []claim, member string, p int32) bool {
	return slices.ContainsFunc(claims, func(c claim) bool { return c.member != member && slices.Contains(c.owned, p) })
}

// owners finds the member that holds each partition: the one with the latest
// claim. Two equally late claims contradict each other, and neither counts.
func owners(n int32, claims []claim) map[int32]string {
	owner, latest := map[int32]string{}, map[int32]int32{}
	for _, c := range claims {
		for _, p := range c.owned {
			generation, other := latest[p]
			switch {
			case p < 0 || p >= n || other && c.generation < generation:
			case other && c.generation == generation && owner[p] != c.member:
				owner[p] = ""
			default:
				owner[p], latest[p] = c.member, c.generation
			}
		}
	}
	maps.DeleteFunc(owner, func(_ int32, member string) bool { return member == "" })
	return owner
}

// balance decides which member each partition should belong to.
func balance(n int32, claims []claim, owner map[int32]string) map[string][]int32 {
	target := make(map[string][]int32, len(claims))
	if len(claims) == 0 {
		return target
	}
	held := map[string][]int32{}
	for p := range n {
		if member, ok := owner[p]; ok {
			held[member] = append(held[member], p)
		}
	}
	// Those that hold the most keep one more where the partitions don't divide.
	byHeld := slices.SortedStableFunc(slices.Values(claims), func(a, b claim) int {
		return cmp.Compare(len(held[b.member]), len(held[a.member]))
	})
	free := make([]int32, 0, n)
	for p := range n {
		if _, ok := owner[p]; !ok {
			free = append(free, p)
		}
	}
	quota := make(map[string]int, len(claims))
	each, over := int(n)/len(claims), int(n)%len(claims)
	for i, c := range byHeld {
		q := each
		if i < over {
			q++
		}
		keep := min(q, len(held[c.member]))
		quota[c.member] = q
		target[c.member] = slices.Clone(held[c.member][:keep])
		free = append(free, held[c.member][keep:]...)
	}
	slices.Sort(free)
	for _, c := range claims {
		more := quota[c.member] - len(target[c.member])
		target[c.member] = append(target[c.member], free[:more]...)
		free = free[more:]
		slices.Sort(target[c.member])
	}
	return target
}

// without returns the partitions that are not in others.
func without(partitions, others []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(partitions), func(p int32) bool { return slices.Contains(others, p) })
}
