package talent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The buckets of the file, and their values.
const (
	bucketMeta       = "meta"       // "request key": 32 bytes; "sequence"
	bucketTenants    = "tenants"    // tenantRecord by resource name
	bucketCompanies  = "companies"  // company by resource name
	bucketJobs       = "jobs"       // job by resource name
	bucketOperations = "operations" // operation by resource name
	bucketOpenCounts = "openCounts" // openCounts by the tenant's resource name
	bucketEvents     = "events"     // accepted events by their number, 8 bytes
)

var buckets = []string{bucketMeta, bucketTenants, bucketCompanies, bucketJobs, bucketOperations, bucketOpenCounts, bucketEvents}

// fileName is the catalog's file in its folder.
const fileName = "talent.db"

// disk writes changes to a bbolt file. Changes are queued while the catalog is locked;
// Sync writes the whole queue in one transaction, so that concurrent callers share
// its fsync. A nil disk stores nothing.
type disk struct {
	db *bbolt.DB

	mu      sync.Mutex
	waiting []change
	queued  int64 // changes ever queued

	writing sync.Mutex   // held while writing
	written atomic.Int64 // changes ever written
}

// change is a value to put, or to remove if it is nil.
type change struct {
	bucket, key string
	value       []byte
}

func (d *disk) put(bucket, key string, value any) {
	if d == nil {
		return
	}
	raw, err := json.Marshal(value, json.Deterministic(true))
	if err != nil { // stored values always marshal
		panic(err)
	}
	d.add(change{bucket, key, raw})
}

func (d *disk) remove(bucket, key string) {
	if d != nil {
		d.add(change{bucket: bucket, key: key})
	}
}

func (d *disk) add(c change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = append(d.waiting, c)
	d.queued++
}

// sync returns once all changes so far are on disk. After an error they stay
// queued, and the next sync tries again.
func (d *disk) sync() error {
	d.mu.Lock()
	want := d.queued
	d.mu.Unlock()
	if d.written.Load() >= want {
		return nil
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	if d.written.Load() >= want {
		return nil // another transaction has written ours
	}
	d.mu.Lock()
	some := d.waiting
	d.waiting = nil
	d.mu.Unlock()
	if err := d.db.Update(func(tx *bbolt.Tx) error { return write(tx, some) }); err != nil {
		d.mu.Lock()
		d.waiting = append(some, d.waiting...)
		d.mu.Unlock()
		return fmt.Errorf("the catalog could not be written to disk: %w", err)
	}
	d.written.Add(int64(len(some)))
	return nil
}

func write(tx *bbolt.Tx, changes []change) error {
	for _, c := range changes {
		b := tx.Bucket([]byte(c.bucket))
		var err error
		if c.value == nil {
			err = b.Delete([]byte(c.key))
		} else {
			err = b.Put([]byte(c.key), c.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Sync returns once all acknowledged changes are on disk. Without a folder it does
// nothing.
func (c *Catalog) Sync() error {
	if c.disk == nil {
		return nil
	}
	return c.disk.sync()
}

// Close writes the remaining changes and closes the file.
func (c *Catalog) Close() error {
	if c.disk == nil {
		return nil
	}
	return errors.Join(c.disk.sync(), c.disk.db.Close())
}

// open reads the catalog in the folder, and from then on stores it there.
func (c *Catalog) open(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, fileName)
	db, err := bbolt.Open(path, 0o644, &bbolt.Options{Timeout: time.Second, OpenFile: openChecked})
	if errors.Is(err, bolterrors.ErrTimeout) || errors.Is(err, errLocked) {
		return fmt.Errorf("%s is in use by another process", path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	// The check comes first, so that a damaged file does not change.
	transaction := db.View
	if err := db.View(hasBuckets); err != nil {
		transaction = db.Update
	}
	if err := transaction(c.load); err != nil {
		_ = db.Close() // the first error is the cause
		return fmt.Errorf("%s: %w", path, err)
	}
	c.disk = &disk{db: db}
	return nil
}

// openChecked opens the file for bbolt after it checked it.
func openChecked(path string, flag int, mode os.FileMode) (*os.File, error) {
	if err := underLock(path, checkFile); err != nil {
		return nil, err
	}
	return os.OpenFile(path, flag, mode)
}

// errLocked is the error of underLock for a file that another process has locked.
var errLocked = errors.New("the file is locked")

// hasBuckets returns an error if the file is not set up.
func hasBuckets(tx *bbolt.Tx) error {
	for _, name := range buckets {
		if tx.Bucket([]byte(name)) == nil {
			return bolterrors.ErrBucketNotFound
		}
	}
	return nil
}

// load reads the file. With a writable transaction it sets up a new file.
func (c *Catalog) load(tx *bbolt.Tx) error {
	if tx.Writable() {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
	}
	meta, name := tx.Bucket([]byte(bucketMeta)), []byte("request key")
	if key := meta.Get(name); len(key) == len(c.key) {
		copy(c.key[:], key)
	} else if !tx.Writable() {
		return errors.New("the file has no key for request IDs")
	} else if err := meta.Put(name, c.key[:]); err != nil {
		return err
	}
	for _, load := range []func() error{ // in this order: each refers to earlier ones
		func() error { return each(tx, bucketTenants, c.loadTenant) },
		func() error { return each(tx, bucketOpenCounts, c.loadOpenCounts) },
		func() error { return each(tx, bucketCompanies, c.loadCompany) },
		func() error { return each(tx, bucketJobs, c.loadJob) },
		func() error { return each(tx, bucketOperations, c.loadOperation) },
	} {
		if err := load(); err != nil {
			return err
		}
	}
	for _, t := range c.tenants {
		t.enterLoaded()
	}
	return nil
}

// enterLoaded enters the jobs in their state at the latest write. settle expires the
// jobs whose time came since, and counts them as open before.
func (t *tenant) enterLoaded() {
	var latest time.Time
	for _, j := range t.jobs {
		if j.Updated.After(latest) {
			latest = j.Updated
		}
	}
	for _, j := range t.jobs {
		t.enter(j, latest)
	}
}

func each[T any](tx *bbolt.Tx, bucket string, load func(*T) error) error {
	return tx.Bucket([]byte(bucket)).ForEach(func(key, value []byte) error {
		one := new(T)
		err := json.Unmarshal(value, one)
		if err == nil {
			err = load(one)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", bucket, key, err)
		}
		return nil
	})
}

func (c *Catalog) loadTenant(r *tenantRecord) error {
	if err := checkKept(r.Fields); err != nil {
		return err
	}
	t := newTenant(r.scope())
	t.record = r
	c.account(&r.size, sizeOf(r.Fields))
	c.tenants[t.scope] = t
	c.sequence = max(c.sequence, r.Sequence)
	return nil
}

// checkKept refuses null, which only a damaged file has.
func checkKept(v any) error {
	switch v := v.(type) {
	case nil:
		return errors.New("its value is null")
	case []any:
		for _, element := range v {
			if err := checkKept(element); err != nil {
				return err
			}
		}
	case Object:
		for _, element := range v {
			if err := checkKept(element); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadedTenant returns the tenant of a stored resource.
func (c *Catalog) loadedTenant(scope Scope) (*tenant, error) {
	if c.tenants[scope] == nil && scope.Tenant == DefaultTenant {
		c.tenants[scope] = newTenant(scope)
	}
	if t := c.tenants[scope]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("its tenant %s is missing", scope)
}

func (c *Catalog) loadOpenCounts(counts *openCounts) error {
	t, err := c.loadedTenant(counts.Scope)
	if err == nil && counts.Most != nil {
		t.life.openMost = counts.Most
	}
	return err
}

func (c *Catalog) loadCompany(one *company) error {
	if err := checkKept(one.Fields); err != nil {
		return err
	}
	t, err := c.loadedTenant(one.Scope)
	if err != nil {
		return err
	}
	t.addCompany(one)
	c.account(&one.size, sizeOf(one.Fields))
	c.sequence = max(c.sequence, one.Sequence)
	return nil
}

func (c *Catalog) loadJob(j *job) error {
	if err := checkKept(j.Fields); err != nil {
		return err
	}
	t, err := c.loadedTenant(j.Scope)
	if err != nil {
		return err
	}
	if t.companies[j.Company] == nil {
		return fmt.Errorf("its company %s is missing", j.Company)
	}
	c.account(&j.size, sizeOf(j.Fields))
	c.hadJobs.Store(true)
	c.searched.Store(true) // there may have been searches in the earlier run
	j.derived = derive(j.Fields)
	t.jobs[j.ID] = j
	t.companies[j.Company].jobs++
	c.sequence = max(c.sequence, j.Sequence)
	return nil
}

func (c *Catalog) loadOperation(o *operation) error {
	if err := checkKept(o.Results); err != nil {
		return err
	}
	c.operations[o.name()] = o
	c.account(&o.size, sizeOf(Object{"results": o.Results}))
	c.operationBytes += o.size
	return nil
}

// PutEvent stores an accepted event under its number, if there is a folder.
func (c *Catalog) PutEvent(number int64, event any) {
	c.disk.put(bucketEvents, eventKey(number), event)
}

// DropEvent deletes an event.
func (c *Catalog) DropEvent(number int64) { c.disk.remove(bucketEvents, eventKey(number)) }

// eventKey sorts as the numbers do.
func eventKey(number int64) string { return string(binary.BigEndian.AppendUint64(nil, uint64(number))) }

// EachEvent reads the folder's events in the order of their numbers.
func (c *Catalog) EachEvent(read func(number int64, event []byte) error) error {
	return c.disk.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketEvents)).ForEach(func(key, value []byte) error {
			if len(key) != 8 {
				return fmt.Errorf("an event has the key %q", key)
			}
			number := int64(binary.BigEndian.Uint64(key))
			if err := read(number, value); err != nil {
				return fmt.Errorf("event %d: %w", number, err)
			}
			return nil
		})
	})
}
