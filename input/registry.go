package input

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/backoff"
	"github.com/clientevents/clientevents/internal/oneline"
)

// Registry is a schema registry that speaks Confluent's API.
type Registry struct {
	// URL is the base of the API's paths.
	URL string
	// Username and PasswordFile log in with a password, BearerTokenFile with a token,
	// CertFile and KeyFile with a certificate. The content of files may be replaced if
	// they are watched, see Config.Files.
	Username, PasswordFile    string
	BearerTokenFile           string
	CAFile, CertFile, KeyFile string
}

// Limits of what a registry may answer.
const (
	maxSchema     = 1 << 20
	maxAnswer     = 4 << 20
	maxReferences = 100
	// lookupTimeout is how long one request may take.
	lookupTimeout = 10 * time.Second
	// unknownFor is how long an ID that the registry does not have is not asked for
	// again.
	unknownFor = 30 * time.Second
	// askMissingEvery is how often it is asked for one that may come, see mayCome.
	askMissingEvery = time.Second
)

// retries is how long the registry is left alone after failures.
var retries = backoff.Policy{First: 100 * time.Millisecond, Max: 10 * time.Second}

// codes of the API's errors.
const (
	codeSubjectNotFound = 40401
	codeVersionNotFound = 40402
	codeSchemaNotFound  = 40403
)

// text is a schema with what it refers to, each before the first that refers to it.
type schemaText struct {
	name string // of the schema's ID or GUID, for messages
	id   any    // for $schema
	typ  string
	text string
	refs []reference
}

type reference struct{ name, text string }

// registry fetches schemas. It keeps each for ever: an ID's schema never changes.
type registry struct {
	client *sr.Client

	mu      sync.Mutex
	trouble string    // why the last request failed, "" if it did not
	failed  int       // how many failed, one after the other
	next    time.Time // before which nothing is asked
}

func newRegistry(c Config) (*registry, error) {
	base, err := url.Parse(c.Registry.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, keyError("input.registry.url", "expected an http or https URL")
	}
	transport, err := newTransport(c)
	if err != nil {
		return nil, err
	}
	login, err := newLogin(c)
	if err != nil {
		return nil, err
	}
	client, err := sr.NewClient(
		sr.URLs(c.Registry.URL),
		sr.UserAgent("clientevents"),
		sr.HTTPClient(&http.Client{
			Timeout:   lookupTimeout,
			Transport: transport,
			// A login must not reach another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
		sr.PreReq(login.authorize),
	)
	if err != nil {
		return nil, keyError("input.registry.url", "%w", err)
	}
	return &registry{client: client}, nil
}

// check asks for a schema by an ID. That the registry does not have it is an answer, too:
// not every registry has the paths that need none.
func (c *registry) check(ctx context.Context) error {
	_, err := c.fetchAll(ctx, schemaID{number: 1})
	if isFault(err) {
		return nil
	}
	if answer, ok := errors.AsType[*sr.ResponseError](err); ok {
		return fmt.Errorf("HTTP %d: %s", answer.StatusCode, shortLine(answer.Error()))
	}
	return err
}

// unavailable is why the registry can't be used at present.
func (c *registry) unavailable() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble
}

// attempt asks the registry, unless it failed a moment ago. A fault is the registry's
// answer; any other error is temporary.
func (c *registry) attempt(ctx context.Context, ask func() error) error {
	c.mu.Lock()
	if c.trouble != "" && time.Now().Before(c.next) {
		defer c.mu.Unlock()
		return errors.New(c.trouble)
	}
	c.mu.Unlock()
	err := ask()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || isFault(err) {
		c.trouble, c.failed = "", 0
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // it says nothing of the registry
	}
	c.trouble = "the schema registry: " + shortLine(err.Error())
	if answer, ok := errors.AsType[*sr.ResponseError](err); ok {
		c.trouble = fmt.Sprintf("the schema registry: HTTP %d: %s", answer.StatusCode, shortLine(answer.Error()))
	}
	c.failed++
	c.next = time.Now().Add(retries.After(c.failed))
	return errors.New(c.trouble)
}

// fetch fetches a schema and those that it refers to.
func (c *registry) fetch(ctx context.Context, id schemaID) (s *schemaText, err error) {
	err = c.attempt(ctx, func() error {
		s, err = c.fetchAll(ctx, id)
		return err
	})
	return s, err
}

func (c *registry) fetchAll(ctx context.Context, id schemaID) (*schemaText, error) {
	var schema sr.Schema
	var err error
	s := &schemaText{name: id.String(), id: id.number}
	if id.guid != "" {
		var found sr.SubjectSchema
		found, err = c.client.SchemaByGUID(ctx, id.guid)
		schema, s.id = found.Schema, id.guid
	} else {
		schema, err = c.client.SchemaByID(ctx, id.number)
	}
	if err != nil {
		return nil, notFound(err, id.String()+" is not in the registry")
	}
	s.typ, s.text = schema.Type.String(), schema.Schema
	if s.text == "" {
		return nil, fmt.Errorf("it answered for %s without a schema", id)
	}
	size := len(s.text)
	if err := c.references(ctx, s, schema.References, map[string]bool{}, &size); err != nil {
		return nil, err
	}
	if size > maxSchema {
		return nil, undecodable("%s has %d bytes with its references: at most %d are allowed", id, size, maxSchema)
	}
	return s, nil
}

// references fetches what a schema refers to, depth first.
func (c *registry) references(ctx context.Context, s *schemaText, refs []sr.SchemaReference, seen map[string]bool, size *int) error {
	for _, ref := range refs {
		if seen[ref.Name] {
			continue
		}
		seen[ref.Name] = true
		if len(seen) > maxReferences {
			return undecodable("%s refers to more than %d schemas", s.name, maxReferences)
		}
		found, err := c.client.SchemaByVersion(ctx, ref.Subject, ref.Version)
		if err != nil {
			return notFound(err, fmt.Sprintf("%s refers to version %d of subject %q, which is not in the registry", s.name, ref.Version, ref.Subject))
		}
		if *size += len(found.Schema.Schema); *size > maxSchema {
			continue // it is refused as a whole
		}
		if err := c.references(ctx, s, found.References, seen, size); err != nil {
			return err
		}
		s.refs = append(s.refs, reference{ref.Name, found.Schema.Schema})
	}
	return nil
}

// missingError is the fault that the registry does not have a schema.
type missingError struct{ fault *event.Fault }

func (e *missingError) Error() string { return e.fault.Error() }
func (e *missingError) Unwrap() error { return e.fault }

// notFound is a fault where the registry itself answers that it does not have
// something. Another 404, such as a proxy's, is temporary.
func notFound(err error, text string) error {
	answer, ok := errors.AsType[*sr.ResponseError](err)
	if !ok || answer.StatusCode != http.StatusNotFound {
		return err
	}
	switch answer.ErrorCode {
	case codeSubjectNotFound, codeVersionNotFound, codeSchemaNotFound:
		return &missingError{undecodable("%s", text)}
	}
	return err
}

// shortLine returns an error's text, which may hold an answer's body, as a short
// line.
func shortLine(text string) string { return oneline.Shorten(oneline.Of(text), 300) }
