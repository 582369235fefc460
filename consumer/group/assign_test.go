package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAssignKeepsPartitions: the examples that the properties don't show at a
// glance.
func TestAssignKeepsPartitions(t *testing.T) {
	for name, test := range map[string]struct {
		n      int32
		claims []claim
		want   map[string][]int32
	}{
		"no member":   {3, nil, map[string][]int32{}},
		"first":       {3, []claim{{"a", nil, none}}, map[string][]int32{"a": {0, 1, 2}}},
		"all new":     {5, []claim{{"a", nil, none}, {"b", nil, none}}, map[string][]int32{"a": {0, 1, 2}, "b": {3, 4}}},
		"a join":      {4, []claim{{"a", []int32{0, 1, 2, 3}, 1}, {"b", nil, none}}, map[string][]int32{"a": {0, 1}, "b": {}}},
		"given up":    {4, []claim{{"a", []int32{0, 1}, 2}, {"b", nil, none}}, map[string][]int32{"a": {0, 1}, "b": {2, 3}}},
		"the larger":  {5, []claim{{"a", []int32{0, 1}, 2}, {"b", []int32{2, 3, 4}, 2}}, map[string][]int32{"a": {0, 1}, "b": {2, 3, 4}}},
		"growth":      {5, []claim{{"a", []int32{0, 1}, 2}, {"b", []int32{2}, 2}}, map[string][]int32{"a": {0, 1, 3}, "b": {2, 4}}},
		"stale claim": {2, []claim{{"a", []int32{0, 1}, 3}, {"b", []int32{1}, 5}}, map[string][]int32{"a": {0}, "b": {1}}},
		"contradiction": {
			2,
			[]claim{{"a", []int32{0, 1}, 3}, {"b", []int32{1}, 3}},
			map[string][]int32{"a": {0}, "b": {}},
		},
		"beyond the end": {1, []claim{{"a", []int32{0, 7, -1}, 3}}, map[string][]int32{"a": {0}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := assign(test.n, test.claims); fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestAssignProperties lets members join, leave, hand over in two steps and come
// back with stale claims while partitions are added, and checks each assignment.
func TestAssignProperties(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n, generation := int32(rng.IntN(12)), int32(1)
		var claims []claim
		for range 40 {
			switch next := fmt.Sprintf("m%02d", rng.IntN(12)); rng.IntN(6) {
			case 0:
				n += int32(rng.IntN(3))
			case 1, 2:
				if !slices.ContainsFunc(claims, func(c claim) bool { return c.member == next }) {
					claims = append(claims, claim{next, nil, none})
				}
			case 3:
				claims = slices.DeleteFunc(claims, func(c claim) bool { return c.member == next })
			case 4: // comes back from an older generation, with a claim that is another's by now
				if len(claims) > 0 && n > 0 {
					c := &claims[rng.IntN(len(claims))]
					c.owned, c.generation = []int32{rng.Int32N(n)}, generation-1-rng.Int32N(3)
				}
			}
			generation++
			assigned := checkAssignment(t, n, claims, rng)
			for i, c := range claims {
				claims[i] = claim{c.member, assigned[c.member], generation}
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		checkConverges(t, n, claims)
	}
}

func checkAssignment(t *testing.T, n int32, claims []claim, rng *rand.Rand) map[string][]int32 {
	t.Helper()
	assigned := assign(n, claims)
	shuffled := slices.Clone(claims)
	rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if again := assign(n, shuffled); fmt.Sprint(again) != fmt.Sprint(assigned) {
		t.Errorf("the same claims in another order give %v instead of %v", again, assigned)
	}
	owner := owners(n, claims)
	has := map[int32]string{}
	for member, partitions := range assigned {
		for _, p := range partitions {
			if other, twice := has[p]; twice || p < 0 || p >= n {
				t.Errorf("partition %d of %d is for %s and for %q", p, n, member, other)
			}
			has[p] = member
			if owner[p] != member && claimed(claims, member, p) {
				t.Errorf("partition %d is assigned to %s while another holds it: %v", p, member, claims)
			}
		}
	}
	target := balance(n, claims, owner)
	most, least, kept := 0, int(n), 0
	total := 0
	for member, partitions := range target {
		most, least, total = max(most, len(partitions)), min(least, len(partitions)), total+len(partitions)
		for _, p := range partitions {
			if owner[p] == member {
				kept++
			}
		}
	}
	if len(claims) > 0 && (most-least > 1 || total != int(n)) {
		t.Errorf("%d of %d partitions are assigned, %d to %d each: %v", total, n, least, most, target)
	}
	if best := mostKept(int(n), claims, owner); kept != best {
		t.Errorf("%d partitions stay where they are, %d could: %v to %v", kept, best, claims, target)
	}
	return assigned
}

// mostKept is how many partitions can stay in any balanced assignment: each
// member keeps its even share, and the members that hold more keep one more for
// as long as there are such shares.
func mostKept(n int, claims []claim, owner map[int32]string) int {
	if len(claims) == 0 {
		return 0
	}
	held := map[string]int{}
	for _, member := range owner {
		held[member]++
	}
	kept, more := 0, 0
	for _, h := range held {
		kept += min(h, n/len(claims))
		if h > n/len(claims) {
			more++
		}
	}
	return kept + min(more, n%len(claims))
}

// checkConverges: when nothing changes any more, everything is assigned after
// the second join and stays so.
func checkConverges(t *testing.T, n int32, claims []claim) {
	t.Helper()
	var before map[string][]int32
	for round := range int32(3) {
		assigned := assign(n, claims)
		for i, c := range claims {
			claims[i] = claim{c.member, assigned[c.member], 1000 + round}
		}
		total := 0
		for partitions := range maps.Values(assigned) {
			total += len(partitions)
		}
		if round > 0 && len(claims) > 0 && total != int(n) {
			t.Errorf("only %d of %d partitions are assigned after %d joins", total, n, round+1)
		}
		if round > 1 && fmt.Sprint(before) != fmt.Sprint(assigned) {
			t.Errorf("a join without a change moved partitions: %v to %v", before, assigned)
		}
		before = assigned
	}
}
