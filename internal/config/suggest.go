package config

import (
	"strings"
)

// suggest names the known key or section that is nearest to an unknown one.
func (l *loader) suggest(path string) string {
	seen := map[string]bool{}
	best, least := "", -1
	consider := func(known string) {
		if seen[known] {
			return
		}
		seen[known] = true
		if d := keyDistance(path, known); least < 0 || d < least {
			best, least = known, d
		}
	}
	for _, k := range l.keys {
		consider(k.Path)
		for i := range len(k.Path) {
			if k.Path[i] == '.' {
				consider(k.Path[:i])
			}
		}
	}
	if best == path {
		return ": it is written below " + best[:strings.LastIndexByte(best, '.')] + ":"
	}
	return ": did you mean " + best + "?"
}

// keyDistance is small for a misspelt key and for one
// under the wrong section.
func keyDistance(path, known string) int {
	path, known = strings.ToLower(path), strings.ToLower(known)
	return min(distance(path, known), distance(lastPart(path), lastPart(known))+1)
}

func lastPart(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func (l *loader) suggestEnv(name string) string {
	known := make([]string, 0, len(l.keys))
	for _, k := range l.keys {
		known = append(known, k.Env())
	}
	if near := Nearest(name, known); near != "" {
		return ": did you mean " + near + "?"
	}
	return ""
}

// Nearest finds the text among known that takes the fewest changes to get from
// s. There always is one, unless known is empty.
func Nearest(s string, known []string) string {
	best, least := "", -1
	for _, k := range known {
		if d := distance(strings.ToLower(s), strings.ToLower(k)); least < 0 || d < least {
			best, least = k, d
		}
	}
	return best
}

// longestCompared bounds the work for names that are not misspelt keys.
const longestCompared = 100

// distance is the number of insertions, deletions and replacements of a byte that lead
// from a to b (Levenshtein).
func distance(a, b string) int {
	a = a[:min(len(a), longestCompared)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
