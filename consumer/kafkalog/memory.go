package kafkalog

import (
	"errors"
	"slices"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

// The memory of a record and of a header beside their bytes, which are not copied.
const (
	recordCost = 112
	headerCost = 40
)

// withRoom calls do, and again with more memory where it returns errNoRoom, unless
// there are records to return first.
func (d *decoder) withRoom(do func() error) error {
	for {
		err := do()
		if !errors.Is(err, errNoRoom) {
			return err
		}
		if len(d.batch.Records) > 0 {
			return errCut
		}
		if err := d.enlarge(d.need); err != nil {
			return err
		}
	}
}

func (d *decoder) noRoom(need int64) error {
	d.need = need
	return errNoRoom
}

// push appends a record. left is how many are expected, with this one.
func (d *decoder) push(rec Record, left int) error {
	records := d.batch.Records
	if len(records) == cap(records) {
		if err := d.grow(left); err != nil {
			return err
		}
		records = d.batch.Records
	}
	d.batch.Records = append(records, rec)
	return nil
}

// grow makes room for more records: for all that are expected if they take at most
// half of the memory, otherwise for half as many again.
func (d *decoder) grow(left int) error {
	had := len(d.batch.Records)
	more := had/2 + 16
	if int64((had+left)*recordCost) <= d.loan.held/2 {
		more = left
	}
	// Growing by single records where there is little memory would move all records for
	// each: with records at hand, the rest is rather for the next fetch.
	for _, n := range []int{more, had/8 + 1} {
		// Until the records are moved, both places take memory.
		if d.loan.take(int64((had + n) * recordCost)) {
			grown := make([]Record, had, had+n)
			copy(grown, d.batch.Records)
			d.loan.give(int64(cap(d.batch.Records) * recordCost))
			d.batch.Records = grown
			return nil
		}
	}
	return d.noRoom(int64((had + 1) * recordCost))
}

// ratio estimates the decompressed size of n bytes.
func (d *decoder) ratio(n int) int {
	if d.packed == 0 {
		return 4 * n
	}
	return n*d.unpacked/d.packed + n/4
}

// whole decompresses a batch of so many records whole. It is not ok if that needs
// more memory than there is.
func (d *decoder) whole(src []byte, codec compress.Compression, records, following int) (plain []byte, ok bool, err error) {
	spare := cap(d.batch.plain) - len(d.batch.plain)
	free := d.loan.free()
	beside := min(int64(records*recordCost), free/2)
	limit := max(int64(spare), free-beside)
	want := int64(d.ratio(len(src)))
	if size := plainSize(src, codec); size >= 0 {
		if size > limit {
			return nil, false, nil
		}
		want = size
	}
	const overshoot = 64 // zstd's decoder writes a little beyond
	for want = max(want, 512) + overshoot; ; want *= 4 {
		last := want >= limit
		before := d.batch.plain
		if !d.chunk(int(min(want, limit)), following) {
			return nil, false, nil
		}
		chunk := d.batch.plain
		plain, err := d.unpack.unpack(chunk[len(chunk):], src, codec)
		fresh := !isSame(before, chunk)
		if err == nil {
			d.packed, d.unpacked = d.packed+len(src), d.unpacked+len(plain)
			if fresh && following == 0 {
				plain = d.shrink(plain, cap(chunk))
			} else {
				d.batch.plain = chunk[:len(chunk)+len(plain)]
			}
			return slices.Clip(plain), true, nil
		}
		if fresh {
			d.loan.give(int64(cap(chunk)))
			d.batch.plain = before
		}
		if !errors.Is(err, errSmall) {
			return nil, false, err
		}
		if last {
			return nil, false, nil
		}
	}
}

// shrink makes plain, the only data in memory of the given size, d.batch.plain. It
// moves it to less memory where much would be left over.
func (d *decoder) shrink(plain []byte, size int) []byte {
	if n := len(plain); n < size-size/4 && d.loan.take(int64(n)) {
		plain = append(make([]byte, 0, n), plain...)
		d.loan.give(int64(size))
	}
	d.batch.plain = plain
	return plain
}

func isSame(a, b []byte) bool { return cap(a) > 0 && cap(b) > 0 && &a[:1][0] == &b[:1][0] }

// chunk makes d.batch.plain have n spare bytes. If it needs new memory, it takes some
// for the batches that follow too. It reports false if there is not so much memory.
func (d *decoder) chunk(n, following int) bool {
	if cap(d.batch.plain)-len(d.batch.plain) >= n {
		return true
	}
	more := 0
	if d.packed > 0 {
		more = min(d.ratio(following), int(max(0, d.loan.free()/2-int64(n))))
	}
	if !d.loan.take(int64(n + more)) {
		return false
	}
	d.batch.plain = make([]byte, 0, n+more)
	return true
}

// segment returns n bytes of memory for one record.
func (d *decoder) segment(n int) ([]byte, error) {
	if cap(d.batch.plain)-len(d.batch.plain) < n {
		const usual = 256 << 10
		size := max(n, int(min(usual, d.loan.free()/4)))
		if !d.loan.take(int64(size)) {
			return nil, d.noRoom(int64(n))
		}
		d.batch.plain = make([]byte, 0, size)
	}
	at := len(d.batch.plain)
	d.batch.plain = d.batch.plain[:at+n]
	return d.batch.plain[at : at+n : at+n], nil
}

// readHeaders reads the n headers of a record; left is how many records may have as
// many.
func (d *decoder) readHeaders(r *reader, n, left int) ([]kafka.Header, error) {
	all, err := d.headers(n, left)
	if err != nil {
		return nil, err
	}
	begin := len(all)
	for range n {
		name, err := d.name(r.bytes(r.varint()))
		if err != nil {
			return nil, err
		}
		all = append(all, kafka.Header{Key: name, Value: r.nullable()})
	}
	d.batch.headers = all
	return all[begin:len(all):len(all)], nil
}

// headers returns memory for n headers, which it has as spare capacity.
func (d *decoder) headers(n, left int) ([]kafka.Header, error) {
	all := d.batch.headers
	if cap(all)-len(all) >= n {
		return all, nil
	}
	const most = 4096
	for _, size := range []int{max(n, min(n*left, most)), n} {
		if d.loan.take(int64(size * headerCost)) {
			d.batch.headers = make([]kafka.Header, 0, size)
			return d.batch.headers, nil
		}
	}
	return nil, d.noRoom(int64(n * headerCost))
}

// name makes a string of a header's name, without allocating the same one again.
func (d *decoder) name(b []byte) (string, error) {
	const most, longest = 32, 256
	for _, known := range d.batch.names {
		if known == string(b) {
			return known, nil
		}
	}
	const rounding = 16
	if cost := int64(len(b)+rounding-1) &^ (rounding - 1); !d.loan.take(cost) {
		return "", d.noRoom(cost + MaxHeaders*rounding)
	}
	s := string(b)
	if len(d.batch.names) < most && len(s) <= longest {
		d.batch.names = append(d.batch.names, s)
	}
	return s, nil
}
