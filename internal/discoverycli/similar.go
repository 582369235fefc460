package discoverycli

import "strings"

// The least [similarity] of a suggestion to the typed word.
const similarEnough = 0.8

// nearest returns the first of the candidates most similar to s, or "" if none is
// similar enough.
func nearest(s string, candidates []string) string {
	best, found := similarEnough, ""
	for _, c := range candidates {
		if v := similarity(s, c); v > best {
			best, found = v, c
		}
	}
	return found
}

// similarity returns the Jaro-Winkler similarity of two words, from 0 to 1.
//
// It is the variant of Rust's strsim, which the google-apis-rs command lines
// use: the bonus for a common prefix is not capped at four characters, and
// transpositions are counted by order of matching. Libraries for Go cap the bonus, and
// would suggest other names than the documented program.
func similarity(s, t string) float64 {
	a, b := []rune(s), []rune(t)
	j := jaro(a, b)
	prefix := 0
	for prefix < min(len(a), len(b)) && a[prefix] == b[prefix] {
		prefix++
	}
	return min(1, j+0.1*float64(prefix)*(1-j))
}

func jaro(a, b []rune) float64 {
	switch {
	case len(a) == 0 && len(b) == 0:
		return 1
	case len(a) == 0 || len(b) == 0:
		return 0
	}
	window := max(max(len(a), len(b))/2-1, 0)
	taken := make([]bool, len(b))
	var matches, transpositions float64
	last := 0
	for i, c := range a {
		for j := max(0, i-window); j <= min(len(b)-1, i+window); j++ {
			if b[j] != c || taken[j] {
				continue
			}
			taken[j] = true
			matches++
			if j < last {
				transpositions++
			}
			last = j
			break
		}
	}
	if matches == 0 {
		return 0
	}
	return (matches/float64(len(a)) + matches/float64(len(b)) + (matches-transpositions)/matches) / 3
}

// nearestPath replaces each segment of a field name by the nearest candidate, and
// keeps the dots. It returns "" if that changes nothing.
func nearestPath(path string, candidates []string) string {
	segments := strings.Split(path, ".")
	for i, s := range segments {
		if s == "" {
			continue
		}
		if n := nearest(s, candidates); n != "" {
			segments[i] = n
		}
	}
	if changed := strings.Join(segments, "."); changed != path {
		return changed
	}
	return ""
}
