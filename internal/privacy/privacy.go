// Package privacy keeps in force what the configuration states about personal data: the
// lists of extra info change with a reload, the key of the hashes with its file.
package privacy

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/scrub"
)

// Guard answers which personal data may leave the source topic. It is safe for
// concurrent use.
type Guard struct {
	files   *filewatch.Watcher
	secrets *scrub.Scrubber
	current atomic.Pointer[rules]

	mu     sync.Mutex
	config *config.Config
	key    *keyFile // nil while nothing is hashed
}

// rules are in force together.
type rules struct {
	extraInfo *event.Privacy
	letters   config.DeadLetters
	// events means that records are events in JSON. The extra info of others can't be
	// told apart from the rest of them.
	events bool
}

// keyFile is the file of the key of the hashes.
type keyFile struct {
	path    string
	watcher *filewatch.Watcher
	content *filewatch.Value[[]byte]
}

// New returns a Guard for a configuration. files watches the key of the hashes; nil for a
// watcher without a log, for a short use.
func New(c *config.Config, files *filewatch.Watcher) (*Guard, error) {
	if files == nil {
		files = filewatch.New(slog.New(slog.DiscardHandler), nil)
	}
	g := &Guard{files: files, secrets: c.Secrets}
	return g, g.Set(c)
}

// Close ends the watching of the key's file. What is in force stays so.
func (g *Guard) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.key != nil {
		g.key.watcher.Close()
	}
}

// Set puts another configuration into force, or returns an error and changes nothing.
// Requests that are made from then on follow it.
func (g *Guard) Set(c *config.Config) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := g.key
	if path := c.Privacy.ExtraInfo.HashKeyFile; path == "" {
		key = nil
	} else if key == nil || key.path != path {
		var err error
		if key, err = g.open(path); err != nil {
			return err
		}
	}
	if g.key != nil && g.key != key {
		g.key.watcher.Close()
	}
	g.config, g.key = c, key
	g.apply()
	return nil
}

// open reads the file of the key and follows its changes.
func (g *Guard) open(path string) (*keyFile, error) {
	const name = "privacy.extra_info.hash_key_file"
	k := &keyFile{path: path, watcher: g.files.Part()}
	var err error
	k.content, err = filewatch.Watch(k.watcher, filewatch.Files[[]byte]{
		Name: name, Paths: []string{path},
		Parse: func(contents [][]byte) ([]byte, error) {
			key, err := config.HashKey(contents[0])
			if err == nil {
				g.secrets.Add(name, string(key))
			}
			return key, err
		},
		OnChange: func([]byte) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.apply()
		},
	})
	if err != nil {
		k.watcher.Close()
		return nil, err
	}
	return k, nil
}

// apply publishes what the configuration and the key's file state.
func (g *Guard) apply() {
	var key []byte
	if g.key != nil {
		key = g.key.content.Get()
	}
	p := g.config.Privacy
	g.current.Store(&rules{p.ExtraInfo.Policy(key), p.DeadLetters, g.config.Input.PlainEvents()})
}

// ExtraInfo returns which extra info is sent; nil if all is sent as it is.
func (g *Guard) ExtraInfo() *event.Privacy { return g.current.Load().extraInfo }

// Letter returns a record's value as a dead letter has it, and false if the dead letter
// must not have any of it.
func (g *Guard) Letter(value []byte) (redacted []byte, ok bool) {
	r := g.current.Load()
	if r.letters != config.RedactedLetters {
		return value, true
	}
	return r.redact(value)
}

// Redact is as [Guard.Letter], whatever the configuration states about dead letters.
func (g *Guard) Redact(value []byte) (redacted []byte, ok bool) {
	return g.current.Load().redact(value)
}

func (r *rules) redact(value []byte) (redacted []byte, ok bool) {
	if r.extraInfo != nil && !r.events {
		return nil, false
	}
	return r.extraInfo.Redact(value)
}
