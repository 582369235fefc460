package rehearse

import (
	"slices"
	"testing"
)

func TestShare(t *testing.T) {
	for _, test := range []struct {
		sizes []int64
		last  int64
		want  []int64
	}{
		{[]int64{10, 10, 10}, 9, []int64{3, 3, 3}},
		{[]int64{10, 10, 10}, 10, []int64{4, 3, 3}},
		{[]int64{1, 10, 100}, 60, []int64{1, 10, 49}},
		{[]int64{0, 0, 5}, 100, []int64{0, 0, 5}},
		{[]int64{5, 5}, 1, []int64{1, 0}},
		{nil, 5, nil},
	} {
		var spans []span
		for i, size := range test.sizes {
			spans = append(spans, span{partition: int32(i), first: 1000, from: 1000, to: 1000 + size})
		}
		share(spans, test.last)
		var got []int64
		for _, s := range spans {
			got = append(got, s.to-s.from)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("the last %d of %v: %v, want %v", test.last, test.sizes, got, test.want)
		}
	}
}
