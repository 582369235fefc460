package talent

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Catalog holds the tenants, companies and jobs of all projects. It is safe
// for concurrent use.
type Catalog struct {
	now func() time.Time
	// searched reports whether a response had a request ID, hadJobs whether a job
	// was ever created.
	searched, hadJobs atomic.Bool
	key               requestKey

	maxBytes int64

	mu         sync.Mutex
	bytes      int64 // estimated memory of the catalog's content
	sequence   int64 // of the latest tenant, company or job
	tenants    map[Scope]*tenant
	operations map[string]*operation
	// operationBytes is the operations' part of bytes.
	operationBytes int64
	disk           *disk // nil: memory alone
}

// Options of a catalog. The zero value is good.
type Options struct {
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// MaxBytes bounds the memory of the catalog's content; no bound if 0.
	MaxBytes int64
	// Dir, if not empty, is the folder that keeps the catalog on disk.
	Dir string
}

// Open returns the catalog of the folder, or an empty one.
func Open(o Options) (*Catalog, error) {
	c := &Catalog{
		now:        cmpFunc(o.Now, time.Now),
		key:        newRequestKey(),
		maxBytes:   cmp.Or(o.MaxBytes, math.MaxInt64),
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

// tenant has one tenant's companies and jobs: "data isolated between tenants".
type tenant struct {
	scope     Scope // with its ID, also for the default tenant
	record    *tenantRecord
	companies map[string]*company // by id
	external  map[string]*company // by externalId
	jobs      map[string]*job     // by id
	// open are the jobs that are not expired, by their identities.
	open map[identity]*job
	life lifeCycle
}

// tenantRecord is the stored form of a tenant; the default tenant has none.
type tenantRecord struct {
	Project  string `json:"project"`
	ID       string `json:"id"`
	Sequence int64  `json:"sequence"`
	Fields   Object `json:"fields"`

	size int64
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

// tenantOf returns the tenant of a scope, after its jobs expired up to now. Every
// project has its default tenant; others must exist.
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
	return c.sequence
}

// newID returns a random ID in the service's form, a UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newJobID returns a random ID in the service's form for jobs, 18 digits.
func newJobID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	const low, high = 100_000_000_000_000_000, 1_000_000_000_000_000_000
	return fmt.Sprint(low + binary.BigEndian.Uint64(b[:])%(high-low))
}
