package config

import (
	"net"
	"net/url"
	"strings"
)

// suggest names the known key that is nearest to an unknown one.
func (l *loader) suggest(path string) string {
	known := make([]string, 0, len(l.keys))
	for _, k := range l.keys {
		known = append(known, k.Path)
	}
	if near := Nearest(path, known); near != "" {
		return ": did you mean " + near + "?"
	}
	return ""
}

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

// distance is how many insertions, deletions and replacements of a byte lead
// from a to b (Levenshtein).
func distance(a, b string) int {
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

func loopbackURL(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}
