package event

import (
	"bytes"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Redact returns a record's value with the extra info as requests would state it: without
// dropped values, and with hashes (after [HashMark]) in the place of hashed ones. The
// event need not be valid: extra info is found at any depth, under any spelling of its
// name that differs in case, underscores or hyphens only. Extra info that is not an object
// becomes null, and a value to be hashed that is not a string is dropped.
//
// It reports false for a value that is not one JSON object.
func (p *Privacy) Redact(value []byte) ([]byte, bool) {
	if p == nil {
		return value, true
	}
	if !startsObject(value) {
		return nil, false
	}
	var out bytes.Buffer
	out.Grow(len(value))
	lax := []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	r := redaction{p, jsontext.NewDecoder(bytes.NewReader(value), lax...), jsontext.NewEncoder(&out, lax...)}
	if r.value() != nil {
		return nil, false
	}
	if _, err := r.in.ReadToken(); err != io.EOF { //nolint:errorlint // the decoder returns it as it is
		return nil, false
	}
	return bytes.TrimRight(out.Bytes(), "\n"), true
}

// redaction copies a record's value.
type redaction struct {
	privacy *Privacy
	in      *jsontext.Decoder
	out     *jsontext.Encoder
}

// value copies the next value.
func (r *redaction) value() error {
	switch r.in.PeekKind() {
	case '{':
		return r.members(func(name string) error {
			if err := r.out.WriteToken(jsontext.String(name)); err != nil {
				return err
			}
			if isExtraInfo(name) {
				return r.extraInfo()
			}
			return r.value()
		})
	case '[':
		return r.list()
	}
	return r.copy()
}

// copy copies the next value as it is.
func (r *redaction) copy() error {
	v, err := r.in.ReadValue()
	if err != nil {
		return err
	}
	return r.out.WriteValue(v)
}

func (r *redaction) token() error {
	t, err := r.in.ReadToken()
	if err != nil {
		return err
	}
	return r.out.WriteToken(t)
}

func (r *redaction) list() error {
	if err := r.token(); err != nil {
		return err
	}
	for r.in.PeekKind() != ']' {
		if err := r.value(); err != nil {
			return err
		}
	}
	return r.token()
}

// members copies an object, of which member handles each value and writes its name.
func (r *redaction) members(member func(name string) error) error {
	if err := r.token(); err != nil {
		return err
	}
	for r.in.PeekKind() != '}' {
		name, err := r.in.ReadToken()
		if err != nil {
			return err
		}
		if err := member(name.String()); err != nil {
			return err
		}
	}
	return r.token()
}

// extraInfo copies the value of a member that is named extraInfo.
func (r *redaction) extraInfo() error {
	if r.in.PeekKind() != '{' {
		if err := r.in.SkipValue(); err != nil {
			return err
		}
		return r.out.WriteToken(jsontext.Null)
	}
	return r.members(func(key string) error {
		f := r.privacy.fate(key)
		if f == kept {
			if err := r.out.WriteToken(jsontext.String(key)); err != nil {
				return err
			}
			return r.copy()
		}
		if f == dropped || r.in.PeekKind() != '"' {
			return r.in.SkipValue()
		}
		value, err := r.in.ReadToken()
		if err != nil {
			return err
		}
		if err := r.out.WriteToken(jsontext.String(key)); err != nil {
			return err
		}
		return r.out.WriteToken(jsontext.String(HashMark + r.privacy.hash(value.String())))
	})
}

func isExtraInfo(name string) bool {
	return strings.EqualFold(strings.NewReplacer("_", "", "-", "").Replace(name), fieldExtraInfo.name)
}
