package event

import (
	"cmp"
	"maps"
	"slices"
)

// Info is text by key, in the order of the keys, each of which is there once. It takes a
// third of a map's memory, and less time to read.
type Info []Pair

// Pair is one text of an [Info].
type Pair struct{ Key, Value string }

// InfoOf returns the texts of a map.
func InfoOf(texts map[string]string) Info {
	info := make(Info, 0, len(texts))
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		info = append(info, Pair{key, texts[key]})
	}
	return info
}

// sort orders texts by key. It reports false where a key is there twice.
func (i Info) sort() bool {
	slices.SortFunc(i, func(a, b Pair) int { return cmp.Compare(a.Key, b.Key) })
	for n := 1; n < len(i); n++ {
		if i[n].Key == i[n-1].Key {
			return false
		}
	}
	return true
}
