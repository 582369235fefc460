package talent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
)

// checkFile reports damage in a bbolt file before bbolt maps it into
// memory, where a damaged page ends the process. It checks the structure of all pages
// that the latest transaction reaches, see bbolt's internal/common, and changes
// nothing. A file that does not exist, or is empty, is in order.
func checkFile(path string) error {
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(file) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := newFileCheck(file)
	if err == nil {
		err = c.bucketAt(c.root)
	}
	if err == nil {
		err = c.freePages()
	}
	if err != nil {
		return fmt.Errorf("the file is damaged: %w", err)
	}
	return nil
}

// The constants of bbolt's file format.
const (
	boltMagic       = 0xED0CDAED
	boltVersion     = 2
	pageHeaderBytes = 16
	metaBytes       = 64 // behind the page's header, with the checksum
	elementBytes    = 16
	bucketBytes     = 16
	branchPage      = 0x01
	leafPage        = 0x02
	freelistPage    = 0x10
	bucketElement   = 0x01
	noFreelist      = ^uint64(0)
)

// fileCheck is a walk through the pages of a file.
type fileCheck struct {
	file     []byte
	pageSize uint64
	root     uint64
	freelist uint64
	pages    uint64 // in use, from 0
	seen     map[uint64]bool
}

// newFileCheck reads the meta page of the latest transaction. The file begins with two
// meta pages, one of which may be incomplete.
func newFileCheck(file []byte) (*fileCheck, error) {
	var latest []byte
	for _, size := range []int{512, 1024, 2048, 4096, 8192, 16384, 32768, 65536} {
		for _, at := range []int{0, size} {
			if m := metaAt(file, at); m != nil && binary.LittleEndian.Uint32(m[8:]) == uint32(size) &&
				(latest == nil || binary.LittleEndian.Uint64(m[48:]) > binary.LittleEndian.Uint64(latest[48:])) {
				latest = m
			}
		}
	}
	if latest == nil {
		return nil, errors.New("it has no valid meta page")
	}
	c := &fileCheck{
		file:     file,
		pageSize: uint64(binary.LittleEndian.Uint32(latest[8:])),
		root:     binary.LittleEndian.Uint64(latest[16:]),
		freelist: binary.LittleEndian.Uint64(latest[32:]),
		pages:    binary.LittleEndian.Uint64(latest[40:]),
		seen:     map[uint64]bool{0: true, 1: true},
	}
	if have := uint64(len(file)) / c.pageSize; c.pages > have {
		return nil, fmt.Errorf("it has %d pages of %d", have, c.pages)
	}
	return c, nil
}

// metaAt returns the meta data in the page at an offset, nil if it is not valid.
func metaAt(file []byte, at int) []byte {
	if len(file) < at+pageHeaderBytes+metaBytes {
		return nil
	}
	m := file[at+pageHeaderBytes:][:metaBytes]
	sum := fnv.New64a()
	sum.Write(m[:metaBytes-8])
	if binary.LittleEndian.Uint32(m) != boltMagic || binary.LittleEndian.Uint32(m[4:]) != boltVersion ||
		binary.LittleEndian.Uint64(m[metaBytes-8:]) != sum.Sum64() {
		return nil
	}
	return m
}

// page returns the content of a page and of the pages that it overflows into. Each
// may be reached once.
func (c *fileCheck) page(id uint64) ([]byte, error) {
	if id < 2 || id >= c.pages {
		return nil, fmt.Errorf("there is no page %d", id)
	}
	p := c.file[id*c.pageSize:]
	if got := binary.LittleEndian.Uint64(p); got != id {
		return nil, fmt.Errorf("page %d is marked as page %d", id, got)
	}
	more := uint64(binary.LittleEndian.Uint32(p[12:]))
	if more >= c.pages-id {
		return nil, fmt.Errorf("page %d has %d overflow pages, more than the file", id, more)
	}
	for i := range more + 1 {
		if c.seen[id+i] {
			return nil, fmt.Errorf("page %d is used twice", id+i)
		}
		c.seen[id+i] = true
	}
	return p[:(more+1)*c.pageSize], nil
}

// bucketAt checks the tree of a bucket whose root is a page.
func (c *fileCheck) bucketAt(id uint64) error {
	p, err := c.page(id)
	if err != nil {
		return err
	}
	if err := c.elements(p, nil, nil); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements checks a branch or leaf page, whose keys are from low (included) to
// high, nil for no bound.
func (c *fileCheck) elements(p, low, high []byte) error {
	flags, n := binary.LittleEndian.Uint16(p[8:]), int(binary.LittleEndian.Uint16(p[10:]))
	if flags != branchPage && flags != leafPage || pageHeaderBytes+n*elementBytes > len(p) || flags == branchPage && n == 0 {
		return fmt.Errorf("flags %#x with %d elements", flags, n)
	}
	keys := make([][]byte, n)
	values := make([][]byte, n) // of a leaf
	for i := range n {
		at := pageHeaderBytes + i*elementBytes
		e := p[at:]
		pos, size, rest := binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:]), uint64(0)
		if flags == leafPage {
			pos, size, rest = size, binary.LittleEndian.Uint32(e[8:]), uint64(binary.LittleEndian.Uint32(e[12:]))
		}
		start, end := uint64(at)+uint64(pos), uint64(at)+uint64(pos)+uint64(size)
		if end+rest > uint64(len(p)) || pos < elementBytes {
			return fmt.Errorf("element %d is not in it", i)
		}
		keys[i], values[i] = p[start:end], p[end:end+rest]
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 || i == 0 && bytes.Compare(keys[0], low) < 0 || high != nil && bytes.Compare(keys[i], high) >= 0 {
			return fmt.Errorf("the key of element %d is out of order", i)
		}
	}
	for i := range n {
		e := p[pageHeaderBytes+i*elementBytes:]
		var err error
		switch {
		case flags == branchPage:
			next := high
			if i+1 < n {
				next = keys[i+1]
			}
			err = c.child(binary.LittleEndian.Uint64(e[8:]), keys[i], next)
		case binary.LittleEndian.Uint32(e) == bucketElement:
			err = c.bucket(values[i])
		case binary.LittleEndian.Uint32(e) != 0:
			err = fmt.Errorf("element %d has unknown flags", i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// child checks the page below a branch element.
func (c *fileCheck) child(id uint64, low, high []byte) error {
	p, err := c.page(id)
	if err != nil {
		return err
	}
	if err := c.elements(p, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// bucket checks the value of an element that is a bucket: the page of its root,
// or, if that is 0, a page in the value itself.
func (c *fileCheck) bucket(value []byte) error {
	if len(value) < bucketBytes {
		return errors.New("a bucket is incomplete")
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return c.bucketAt(root)
	}
	inline := value[bucketBytes:]
	if len(inline) < pageHeaderBytes || binary.LittleEndian.Uint16(inline[8:]) != leafPage {
		return errors.New("a bucket has no page")
	}
	return c.elements(inline, nil, nil)
}

// freePages checks the list of free pages: pages that nothing else uses.
func (c *fileCheck) freePages() error {
	if c.freelist == noFreelist {
		return nil
	}
	p, err := c.page(c.freelist)
	if err != nil {
		return err
	}
	n, ids := uint64(binary.LittleEndian.Uint16(p[10:])), p[pageHeaderBytes:]
	if n == 0xFFFF { // the number does not fit and is the first ID
		n, ids = binary.LittleEndian.Uint64(ids), ids[8:]
	}
	if binary.LittleEndian.Uint16(p[8:]) != freelistPage || n > uint64(len(ids))/8 {
		return fmt.Errorf("page %d is not a list of free pages", c.freelist)
	}
	for i := range n {
		id := binary.LittleEndian.Uint64(ids[8*i:])
		if id < 2 || id >= c.pages || c.seen[id] {
			return fmt.Errorf("page %d can't be free", id)
		}
		c.seen[id] = true
	}
	return nil
}
