// Package scrub keeps secrets out of text that leaves the program: logs, the status
// page, results of commands, dead letters' details and traces.
//
// The destination, a proxy or a token server may repeat a secret in its answer: whole,
// cut, in other case, or encoded. So a text is compared with every form of every secret
// in pieces of [Shortest] characters, and each run in common is replaced.
package scrub

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
)

const (
	// Shortest is the length, in bytes, of the shortest run in common that is removed.
	Shortest = 12
	// Hidden stands for what was removed.
	Hidden = "(hidden)"
	// least is the length of the shortest secret that is looked for at all: a shorter
	// one is a part of many words.
	least = 4
	// kept is how many values of a secret that is renewed are remembered: an answer may
	// repeat a token that was replaced since.
	kept = 3
)

// Scrubber removes secrets from texts. The zero value knows none. It is safe for
// concurrent use; nil removes nothing.
type Scrubber struct {
	mu     sync.RWMutex
	values map[string][]string // by name, the latest last
	forms  forms               // of all values
}

// Add makes value a secret; of a PEM file, the lines within its armor. A name has one
// current value; the values before it stay secret for two more renewals.
func (s *Scrubber) Add(name, value string) {
	if value = withoutArmor(value); s == nil || len(value) < least {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.values[name]
	if slices.Contains(all, value) {
		return
	}
	if s.values == nil {
		s.values = map[string][]string{}
	}
	s.forms.add(value)
	all = append(all, value)
	if len(all) > kept {
		s.forms.remove(all[0])
		all = all[1:]
	}
	s.values[name] = all
}

// AddFile makes the content of a file a secret. A file that can't be read is left
// out: its user reports the error.
func (s *Scrubber) AddFile(name, file string) {
	const largest = 1 << 20 // more than any secret needs
	if s == nil || file == "" {
		return
	}
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || info.Size() > largest {
		return
	}
	if text, err := os.ReadFile(file); err == nil {
		s.Add(name, string(text))
	}
}

// withoutArmor returns a value without line ends after it and without the lines that
// enclose PEM keys, which are no secret.
func withoutArmor(value string) string {
	var lines []string
	for line := range strings.Lines(strings.TrimRight(value, "\r\n")) {
		if line = strings.TrimRight(line, "\r\n"); !strings.HasPrefix(line, "-----") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// Text returns text without the secrets: every run of [Shortest] or more characters
// that it has in common with a form of a secret, and every whole shorter secret, is
// replaced by [Hidden].
func (s *Scrubber) Text(text string) string {
	if s == nil || len(text) < least {
		return text
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.values == nil {
		return text
	}
	return s.forms.hide(text)
}

// forms counts how often each form of a secret occurs, in lower case. An access token
// of 1 kB has 20,000 pieces: a renewal changes those of two values and no others.
type forms struct {
	pieces map[[Shortest]byte]int
	short  map[string]int // whole forms of fewer characters
}

func (f *forms) add(secret string)    { f.change(secret, 1) }
func (f *forms) remove(secret string) { f.change(secret, -1) }

func (f *forms) change(secret string, by int) {
	if f.pieces == nil {
		f.pieces, f.short = map[[Shortest]byte]int{}, map[string]int{}
	}
	for _, form := range formsOf(secret) {
		form = lower(form)
		if len(form) < Shortest {
			count(f.short, form, by)
			continue
		}
		for i := range len(form) - Shortest + 1 {
			count(f.pieces, [Shortest]byte([]byte(form[i:i+Shortest])), by)
		}
	}
}

func count[K comparable](counts map[K]int, key K, by int) {
	if n := counts[key] + by; n > 0 {
		counts[key] = n
	} else {
		delete(counts, key)
	}
}

// formsOf lists the ways in which a secret may be spelled. Base64 has three, one for
// each number of bytes before the secret, and its last character also depends on the
// bytes behind it, if there are any; so does the first on those before.
func formsOf(secret string) []string {
	if strings.Contains(secret, "\n") {
		// A key of several lines: texts are made one line of, with blanks or without.
		lines := strings.Fields(secret)
		return slices.Concat(formsOf(strings.Join(lines, "")), formsOf(strings.Join(lines, " ")),
			[]string{secret, quoted(secret), jsonEscaped(secret), url.QueryEscape(secret)})
	}
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), percent(secret), hex.EncodeToString([]byte(secret)), quoted(secret), jsonEscaped(secret)}
	for before := range 3 {
		padded := append(make([]byte, before), secret...)
		first, last := (before*8+5)/6, len(padded)*8/6
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if encoded := encoding.EncodeToString(padded); first < last {
				all = append(all, encoded[first:], encoded[first:last])
			}
		}
	}
	return all
}

// percent encodes every byte, as some proxies do.
func percent(secret string) string {
	var b strings.Builder
	for _, c := range []byte(secret) {
		b.WriteByte('%')
		b.WriteString(hex.EncodeToString([]byte{c}))
	}
	return b.String()
}

// quoted spells a secret as JSON and Go quote it.
func quoted(secret string) string {
	return strings.NewReplacer("\\", `\\`, "\"", `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(secret)
}

// jsonEscaped spells a secret as the JSON encoders do that escape slashes, too.
func jsonEscaped(secret string) string { return strings.ReplaceAll(quoted(secret), "/", `\/`) }

// lower changes ASCII letters alone, so that the text keeps its length.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func (f *forms) hide(text string) string {
	folded := lower(text)
	var secret []bool // by byte; nil where none is
	mark := func(from, to int) {
		if secret == nil {
			secret = make([]bool, len(text))
		}
		for i := from; i < to; i++ {
			secret[i] = true
		}
	}
	for i := range len(folded) - Shortest + 1 {
		if _, ok := f.pieces[[Shortest]byte([]byte(folded[i:i+Shortest]))]; ok {
			mark(i, i+Shortest)
		}
	}
	for short := range f.short {
		for at := 0; ; {
			i := strings.Index(folded[at:], short)
			if i < 0 {
				break
			}
			mark(at+i, at+i+len(short))
			at += i + len(short)
		}
	}
	if secret == nil {
		return text
	}
	return replaced(text, secret)
}

// replaced puts [Hidden] in the place of each run of marked bytes.
func replaced(text string, secret []bool) string {
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !secret[i]:
			b.WriteByte(text[i])
		case i == 0 || !secret[i-1]:
			b.WriteString(Hidden)
		}
	}
	return b.String()
}
