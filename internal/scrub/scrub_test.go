package scrub

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	token    = "ya29.a0AfH6SMBx-Zz_9/Q+k=7TsecretTOKENvalue0123456789"
	password = "pass w0rd&<é>"
	short    = "hunter2"
)

func scrubber() *Scrubber {
	s := &Scrubber{}
	s.Add("token", token)
	s.Add("password", password)
	s.Add("short", short)
	return s
}

// spellings are the forms in which a secret has come back from real servers.
func spellings(secret string) map[string]string {
	return map[string]string{
		"whole":           secret,
		"lower case":      strings.ToLower(secret),
		"upper case":      strings.ToUpper(secret),
		"query":           url.QueryEscape(secret),
		"path":            url.PathEscape(secret),
		"percent":         percent(secret),
		"hex":             hex.EncodeToString([]byte(secret)),
		"quoted":          fmt.Sprintf("%q", secret),
		"base64":          base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64 URL":      base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"base64, user":    base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
		"base64, Bearer":  base64.StdEncoding.EncodeToString([]byte("Bearer " + secret + "\r\n")),
		"base64, a byte":  base64.StdEncoding.EncodeToString([]byte("x" + secret + "y")),
		"base64, 2 bytes": base64.StdEncoding.EncodeToString([]byte("xy" + secret + "yz")),
	}
}

// common returns the longest run that two texts have in common, case aside.
func common(a, b string) (longest string) {
	a, b = strings.ToLower(a), strings.ToLower(b)
	for i := range len(a) {
		for n := len(longest) + 1; i+n <= len(a) && strings.Contains(b, a[i:i+n]); n++ {
			longest = a[i : i+n]
		}
	}
	return longest
}

func TestNoFormOfASecretIsLeft(t *testing.T) {
	s := scrubber()
	for _, secret := range []string{token, password} {
		for name, form := range spellings(secret) {
			for _, text := range []string{form, "invalid: " + form, `{"error":"` + form + `"}`, form + form} {
				got := s.Text(text)
				if left := common(got, form); len(left) >= Shortest && !strings.Contains("invalid: error", left) {
					t.Errorf("%s of %q: %q of it is left in %q", name, secret, left, got)
				}
				if !strings.Contains(got, Hidden) {
					t.Errorf("%s of %q: nothing is hidden in %q", name, secret, got)
				}
			}
		}
	}
	if got := s.Text("login as " + short + " failed"); strings.Contains(got, short) {
		t.Errorf("a short secret is left: %q", got)
	}
}

// TestPiecesOfASecret: any piece of 12 characters or more, of any form.
func TestPiecesOfASecret(t *testing.T) {
	s := scrubber()
	rng := rand.New(rand.NewPCG(1, 2))
	for name, form := range spellings(token) {
		if strings.HasPrefix(name, "base64, ") {
			continue // its edges are of the neighbours
		}
		form = strings.Trim(form, `"=`)
		for range 200 {
			n := Shortest + rng.IntN(len(form)-Shortest)
			at := rng.IntN(len(form) - n + 1)
			got := s.Text("the token " + form[at:at+n] + " is not valid")
			if left := common(got, form[at:at+n]); len(left) >= Shortest {
				t.Fatalf("%s, %q: %q is left in %q", name, form[at:at+n], left, got)
			}
		}
	}
}

func TestOtherTextStays(t *testing.T) {
	s := scrubber()
	for _, text := range []string{
		"", "ok", "the API answered 503: the backend is overloaded", token[:Shortest-1], "é " + strings.Repeat("x", 10_000),
	} {
		if got := s.Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	var none *Scrubber
	none.Add("x", token)
	if got := none.Text(token); got != token {
		t.Error("a nil scrubber changes text")
	}
	if got := (&Scrubber{}).Text(token); got != token {
		t.Error("a scrubber without secrets changes text")
	}
}

// TestRenewedSecrets: a value that was replaced is still hidden, and the memory of old
// ones is bounded.
func TestRenewedSecrets(t *testing.T) {
	s := &Scrubber{}
	value := func(i int) string { return fmt.Sprintf("token-%d-%s", i, strings.Repeat(string(rune('a'+i)), 20)) }
	for i := range 5 {
		s.Add("token", value(i))
		s.Add("token", value(i))
	}
	for i, hidden := range []bool{false, false, true, true, true} {
		if got := s.Text(value(i)) != value(i); got != hidden {
			t.Errorf("value %d is hidden: %t, want %t", i, got, hidden)
		}
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(scrubber().Handler(slog.NewJSONHandler(&out, nil)))
	log.With("secret", token).WithGroup("g").Info("with "+token, "error", fmt.Errorf("wrapped: %w", errors.New(token)), "n", 7,
		slog.Group("inner", "text", token), "any", []string{token})
	if strings.Contains(out.String(), token[:Shortest]) {
		t.Errorf("the log has the token: %s", &out)
	}
	for _, want := range []string{`"n":7`, `"msg":"with (hidden)"`, `"error":"wrapped: (hidden)"`, `"text":"(hidden)"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %s: %s", want, &out)
		}
	}
}

// TestFile: of a PEM key, the lines within its armor are secret, however they are
// joined; the armor is not.
func TestFile(t *testing.T) {
	lines := []string{strings.Repeat("Abc9/", 12), strings.Repeat("x+Yz1", 12)}
	file := filepath.Join(t.TempDir(), "key.pem")
	text := "-----BEGIN PRIVATE KEY-----\r\n" + strings.Join(lines, "\r\n") + "\r\n-----END PRIVATE KEY-----\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Scrubber{}
	s.AddFile("key", file)
	s.AddFile("none", filepath.Join(t.TempDir(), "none"))
	s.AddFile("directory", t.TempDir())
	for _, between := range []string{"", " ", "\n", `\n`, "%0A"} {
		end, begin := lines[0][50:], lines[1][:10]
		if between == "%0A" {
			end, begin = url.QueryEscape(end), url.QueryEscape(begin)
		}
		if got := s.Text("x " + end + between + begin + " y"); got != "x "+Hidden+" y" {
			t.Errorf("joined by %q: %q", between, got)
		}
	}
	if got := s.Text("-----BEGIN PRIVATE KEY-----"); got != "-----BEGIN PRIVATE KEY-----" {
		t.Errorf("the armor is %q", got)
	}
}

func TestStrings(t *testing.T) {
	type inner struct{ Text string }
	v := struct {
		Text, Name string
		Several    []inner
		Pointer    *inner
		Any        any
		ByName     map[string]inner
		N          int
		At         time.Time
		private    string
	}{token, "topic", []inner{{token}}, &inner{token}, token, map[string]inner{"k": {token}}, 7, time.Now(), "p"}
	scrubber().Strings(&v)
	if v.Text != Hidden || v.Name != "topic" || v.Several[0].Text != Hidden || v.Pointer.Text != Hidden || v.ByName["k"].Text != Hidden || v.N != 7 || v.private != "p" {
		t.Errorf("got %+v", v)
	}
	if v.Any != Hidden {
		t.Errorf("an interface holds %v", v.Any)
	}
	(*Scrubber)(nil).Strings(&v)
}

func BenchmarkText(b *testing.B) {
	s := scrubber()
	text := strings.Repeat("the API answered 503: the backend is overloaded; ", 20)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s.Text(text)
	}
}

// TestRenewals checks that the values before the current one stay secret for two
// renewals, and a value of two names for as long as one of them has it.
func TestRenewals(t *testing.T) {
	value := func(i int) string { return fmt.Sprintf("value-number-%d-of-the-token", i) }
	s := &Scrubber{}
	s.Add("other", value(1))
	for i := range 5 {
		s.Add("token", value(i))
	}
	for i, hidden := range []bool{false, true, true, true, true} {
		own := fmt.Sprintf("number-%d-of-", i) // the rest is in common
		if got := s.Text(own); (got == Hidden) != hidden {
			t.Errorf("value %d in a text becomes %q; hidden: want %v", i, got, hidden)
		}
	}
	if n := len(s.values["token"]); n != kept {
		t.Errorf("%d values are kept: want %d", n, kept)
	}
}
