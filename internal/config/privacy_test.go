package config

import (
	"strings"
	"testing"

	"github.com/clientevents/clientevents/internal/scrub"
)

// TestPrivacy sets the lists of extra info, and checks those that contradict each other.
func TestPrivacy(t *testing.T) {
	inFolderWithFiles(t)
	for text, fault := range map[string]string{
		`{}`:                           "",
		`{extra_info: {keep: []}}`:     "",
		`{extra_info: {keep: source}}`: "",
		`{extra_info: {keep: [a], hash: [b], hash_key_file: hash-key}, dead_letters: redact}`: "",
		`{extra_info: {drop: [a], hash: [b], hash_key_file: hash-key}}`:                       "",

		`{extra_info: {keep: [a], drop: [b]}}`:                          `privacy.extra_info.drop: "b": expected either this or privacy.extra_info.keep`,
		`{extra_info: {keep: [], drop: [b]}}`:                           `privacy.extra_info.drop: "b": expected either this`,
		`{extra_info: {drop: []}}`:                                      `privacy.extra_info.drop: expected at least one`,
		`{extra_info: {drop: [a], hash: [a], hash_key_file: hash-key}}`: `privacy.extra_info.hash: "a": has a key of privacy.extra_info.drop`,
		`{extra_info: {hash: [a]}}`:                                     `privacy.extra_info.hash_key_file: is required by privacy.extra_info.hash`,
		`{extra_info: {hash: [a], hash_key_file: missing}}`:             `privacy.extra_info.hash_key_file: "missing": expected a file that can be read`,
		`{extra_info: {hash: [a], hash_key_file: password}}`:            `privacy.extra_info.hash_key_file: "password": expected a file that holds at least 16 bytes`,
		`{extra_info: {hash_key_file: hash-key}}`:                       `privacy.extra_info.hash_key_file: "hash-key": has no effect without privacy.extra_info.hash`,
		`{dead_letters: redact}`:                                        `privacy.dead_letters: "redact": has no effect: expected lists in privacy.extra_info`,
		`{dead_letters: drop}`:                                          `privacy.dead_letters: "drop": expected one of original, redact`,
		`{extra_info: {keeps: [a]}}`:                                    `privacy.extra_info.keeps`,
		`{extra_info: {keep: [""]}}`:                                    `privacy.extra_info.keep: expected keys of extraInfo`,
	} {
		_, err := load("config.yaml", []byte(least+"privacy: "+text+"\n"), nil)
		switch {
		case fault == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case fault != "" && (err == nil || !strings.Contains(err.Error(), fault)):
			t.Errorf("%s: got %v\nwant %s", text, err, fault)
		}
	}
}

// TestEmptyKeep: a list without a key is another value than no list.
func TestEmptyKeep(t *testing.T) {
	none, err := load("config.yaml", []byte(least+"privacy: {extra_info: {keep: []}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := load("config.yaml", []byte(least), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !none.Privacy.ExtraInfo.Limited() || all.Privacy.ExtraInfo.Limited() {
		t.Error("an empty list sends all, or no list does not")
	}
	changes := Changes(all, none)
	if len(changes) != 1 || changes[0].Key.Path != "privacy.extra_info.keep" || changes[0].Old != "" || changes[0].New != "[]" {
		t.Errorf("the changes are %+v", changes)
	}
}

// TestHashKeyIsHidden: the key of the hashes is a secret.
func TestHashKeyIsHidden(t *testing.T) {
	inFolderWithFiles(t)
	c, err := load("config.yaml", []byte(least+"privacy: {extra_info: {hash: [a], hash_key_file: hash-key}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &scrub.Scrubber{}
	c.Hide(s)
	if got := s.Text("x 0123456789abcdef y"); got != "x (hidden) y" {
		t.Errorf("got %q", got)
	}
}
