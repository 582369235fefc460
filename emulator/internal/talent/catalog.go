package talent

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Catalog holds the tenants, companies and jobs of all projects. It is safe
// for concurrent use.
type Catalog struct {
	now func() time.Time
	// used: something was created, or a request id given.
	used atomic.Bool
	key  requestKey

	mu         sync.Mutex
	sequence   int64 // of the latest tenant, company or job
	tenants    map[Scope]*tenant
	operations map[string]*operation
	disk       *disk // nil: memory alone
}

// Options of a catalog. The zero value is good.
type Options struct {
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// Dir, if not empty, is the folder that keeps the catalog on disk.
	Dir string
}

// Open returns the catalog that is kept in the folder, or an empty one.
func Open(o Options) (*Catalog, error) {
	c := &Catalog{
		now:        cmpFunc(o.Now, time.Now),
		key:        newRequestKey(),
		tenants:    map[Scope]*tenant{},
		operations: map[string]*operation{},
	}
	if o.Dir == "" {
		return c, nil
	}
	if err := c.open(o.Dir); err != nil {
		return nil, err
	}
	return c, nil
}

func cmpFunc(f, otherwise func() time.Time) func() time.Time {
	if f == nil {
		return otherwise
	}
	return f
}

// tenant is one tenant's companies and jobs: "data isolated between tenants".
type tenant struct {
	scope     Scope // with its id, also the default's
	record    *tenantRecord
	companies map[string]*company // by id
	external  map[string]*company // by externalId
	jobs      map[string]*job     // by id
	// open are the jobs that are not expired, by what no two of them share.
	open map[identity]*job
	life lifeCycle
}

// tenantRecord is a tenant as it is kept; the default has none.
type tenantRecord struct {
	Project  string `json:"project"`
	ID       string `json:"id"`
	Sequence int64  `json:"sequence"`
	Fields   Object `json:"fields"`
}

func newTenant(scope Scope) *tenant {
	return &tenant{
		scope:     scope,
		companies: map[string]*company{},
		external:  map[string]*company{},
		jobs:      map[string]*job{},
		open:      map[identity]*job{},
		life:      newLifeCycle(),
	}
}

// tenantOf is the tenant that a name means, with all that time has done to its
// jobs done. Every project has its default tenant; others must exist.
func (c *Catalog) tenantOf(scope Scope) (*tenant, *Error) {
	key := scope.key()
	t := c.tenants[key]
	if t == nil {
		if key.Tenant != DefaultTenant {
			return nil, notFound(scope.String())
		}
		t = newTenant(key)
		c.tenants[key] = t
	}
	c.settle(t, c.now())
	return t, nil
}

func (c *Catalog) next() int64 {
	c.sequence++
	c.used.Store(true)
	return c.sequence
}

// newID is a random id as the service gives them: a UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newJobID is a random id as the service gives jobs: a number of 18 digits.
func newJobID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	const low, high = 100_000_000_000_000_000, 1_000_000_000_000_000_000
	return fmt.Sprint(low + binary.BigEndian.Uint64(b[:])%(high-low))
}

// page is what of a list is asked for.
type page struct {
	after int64 // the sequence number of the last one given
	size  int
	// of identifies the question, so that a token is good for no other.
	of uint64
}

// newPage reads a page token. about is the question that the list answers.
func newPage(token string, size int, about string) (page, *Error) {
	h := fnv.New64a()
	h.Write([]byte(about))
	p := page{size: size, of: h.Sum64()}
	if token == "" {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 16 || binary.BigEndian.Uint64(raw[8:]) != p.of {
		return p, fieldErrorf(InvalidArgument, "page_token", "is not one that this list gave")
	}
	p.after = int64(binary.BigEndian.Uint64(raw))
	return p, nil
}

func (p page) token(after int64) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], uint64(after))
	binary.BigEndian.PutUint64(raw[8:], p.of)
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// sequenced is what lists are ordered by: the order of creation.
type sequenced interface{ sequenceNumber() int64 }

// cut is the page of all, which it sorts, and the token of the next.
func cut[T sequenced](p page, all []T) (some []T, next string) {
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(a.sequenceNumber(), b.sequenceNumber()) })
	first, _ := slices.BinarySearchFunc(all, p.after+1, func(e T, after int64) int {
		return cmp.Compare(e.sequenceNumber(), after)
	})
	all = all[first:]
	if len(all) <= p.size {
		return all, ""
	}
	some = all[:p.size]
	return some, p.token(some[p.size-1].sequenceNumber())
}

// pageSize is the size asked for: the default if it is not positive, and no
// more than the most.
func pageSize(asked, most int) int {
	if asked < 1 {
		return most
	}
	return min(asked, most)
}
