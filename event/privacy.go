package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// HashMark begins a hash in a redacted record, so that a replay of the record sends the
// hash as it is. Requests have the hash without the mark.
const HashMark = "hmac-sha256:"

// PrivacyConfig configures a [Privacy].
type PrivacyConfig struct {
	// KeepOnly sends only the keys in Keep and Hash. Otherwise all are sent but those in
	// Drop.
	KeepOnly         bool
	Keep, Drop, Hash []string
	// HashKey is the key of HMAC-SHA-256.
	HashKey []byte
}

// Privacy decides which extra info of an event is sent: by its key, as it is, hashed or
// not at all. It is immutable; nil sends everything as it is.
type Privacy struct {
	keepOnly bool
	fates    map[string]fate
	hashKey  []byte
}

// fate is what happens to a value.
type fate uint8

const (
	unnamed fate = iota // the key is in no list
	kept
	dropped
	hashed
)

// NewPrivacy returns a Privacy, or nil if everything is sent as it is.
func NewPrivacy(c PrivacyConfig) *Privacy {
	if !c.KeepOnly && len(c.Drop) == 0 && len(c.Hash) == 0 {
		return nil
	}
	p := &Privacy{keepOnly: c.KeepOnly, fates: map[string]fate{}, hashKey: c.HashKey}
	for _, list := range []struct {
		keys []string
		fate fate
	}{{c.Keep, kept}, {c.Drop, dropped}, {c.Hash, hashed}} {
		for _, key := range list.keys {
			p.fates[key] = list.fate
		}
	}
	return p
}

func (p *Privacy) fate(key string) fate {
	f := p.fates[key]
	switch {
	case f != unnamed:
		return f
	case p.keepOnly:
		return dropped
	}
	return kept
}

// Apply returns the event as requests state it. The event itself stays as it is: content
// is compared and limits are checked over the original.
func (p *Privacy) Apply(e *Event) *Event {
	if p == nil || len(e.ExtraInfo) == 0 {
		return e
	}
	sent := *e
	sent.ExtraInfo = make(Info, 0, len(e.ExtraInfo))
	for _, pair := range e.ExtraInfo {
		switch p.fate(pair.Key) {
		case hashed:
			sent.ExtraInfo = append(sent.ExtraInfo, Pair{pair.Key, p.hash(pair.Value)})
		case kept:
			sent.ExtraInfo = append(sent.ExtraInfo, pair)
		}
	}
	return &sent
}

// hash returns the HMAC of a value in hexadecimal. A value that a redacted record holds is
// the hash already.
func (p *Privacy) hash(value string) string {
	if done, ok := strings.CutPrefix(value, HashMark); ok && isHash(done) {
		return done
	}
	mac := hmac.New(sha256.New, p.hashKey)
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil))
}

func isHash(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}
