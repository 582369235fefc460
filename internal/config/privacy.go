package config

import (
	"errors"
	"slices"
	"strings"

	"github.com/clientevents/clientevents/event"
)

// Privacy configures which personal data leaves the source topic.
type Privacy struct {
	ExtraInfo ExtraInfo
	// DeadLetters is the form of values in dead letters; default [OriginalLetters].
	DeadLetters DeadLetters
}

// ExtraInfo configures which extra info is sent to the API; default all of it.
type ExtraInfo struct {
	// KeepOnly sends the keys in Keep and Hash and no others. It is set by a list for
	// Keep, which may be empty. Drop lists keys that are not sent.
	KeepOnly   bool
	Keep, Drop []string
	// Hash lists the keys whose values are sent as HMAC-SHA-256 in hexadecimal.
	Hash []string
	// HashKeyFile holds the key of the hashes. A line's end after it is not part of it.
	HashKeyFile string
}

// DeadLetters is the form of a record's values in dead letters.
type DeadLetters string

// The forms of values in dead letters.
const (
	OriginalLetters DeadLetters = "original"
	RedactedLetters DeadLetters = "redact"
)

// Policy returns the policy with the key of the hashes, the content of HashKeyFile.
func (e ExtraInfo) Policy(hashKey []byte) *event.Privacy {
	return event.NewPrivacy(event.PrivacyConfig{KeepOnly: e.KeepOnly, Keep: e.Keep, Drop: e.Drop, Hash: e.Hash, HashKey: hashKey})
}

// Limited reports whether some extra info is dropped or hashed.
func (e ExtraInfo) Limited() bool { return e.Policy(nil) != nil }

// shortestHashKey is the length in bytes of the shortest key of hashes. A shorter one
// could be guessed.
const shortestHashKey = 16

// HashKey returns the key in a file's content.
func HashKey(content []byte) ([]byte, error) {
	key := []byte(strings.TrimRight(string(content), "\r\n"))
	if len(key) < shortestHashKey {
		return nil, errors.New("expected a file that holds at least 16 bytes, such as the output of 'openssl rand -hex 32'")
	}
	return key, nil
}

// infoKey appends a key of extra info to a list.
func infoKey(field func(*Config) *[]string) setter {
	return func(c *Config, s string) error {
		if s == "" {
			return errors.New("expected keys of extraInfo, such as [source, userId]")
		}
		list := field(c)
		*list = append(*list, s)
		return nil
	}
}

func keepKey(c *Config, s string) error {
	c.Privacy.ExtraInfo.KeepOnly = true
	return infoKey(func(c *Config) *[]string { return &c.Privacy.ExtraInfo.Keep })(c, s)
}

// checkPrivacy checks that the lists of privacy.extra_info do not contradict each other.
func (l *loader) checkPrivacy(c *Config) {
	const section = "privacy.extra_info."
	e := c.Privacy.ExtraInfo
	if e.KeepOnly && len(e.Drop) > 0 {
		l.check(section+"drop", "expected either this or privacy.extra_info.keep, not both")
	}
	for _, key := range e.Hash {
		if slices.Contains(e.Drop, key) {
			l.check(section+"hash", "has a key of privacy.extra_info.drop, which is not sent: expected other keys")
		}
	}
	switch {
	case len(e.Hash) > 0 && e.HashKeyFile == "":
		l.check(section+"hash_key_file", "is required by privacy.extra_info.hash: a file that holds the key of the hashes")
	case len(e.Hash) == 0 && e.HashKeyFile != "":
		l.check(section+"hash_key_file", "has no effect without privacy.extra_info.hash")
	case e.HashKeyFile != "" && !l.faulty(section+"hash_key_file"):
		content, err := readFile(e.HashKeyFile)
		if err != nil {
			l.check(section+"hash_key_file", "expected a file that can be read: "+err.Error())
			return
		}
		if _, err := HashKey(content); err != nil {
			l.check(section+"hash_key_file", err.Error())
		}
	}
	if c.Privacy.DeadLetters == RedactedLetters && !e.Limited() {
		l.check("privacy.dead_letters", "has no effect: expected lists in privacy.extra_info")
	}
}
