package group

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The protocols that a member offers, in the order of its preference, see the
// package comment.
const (
	cooperative = "cooperative-sticky"
	eager       = "range"
)

// none is the generation of a member that claims nothing.
const none = -1

// subscription is the metadata that a member joins with.
type subscription struct {
	topics []string
	// owned are the partitions that the member holds by topic, and generation is
	// when they were assigned to it; none where that is unknown.
	owned      map[string][]int32
	generation int32
	// marked reports whether the metadata are those of a replica of this program.
	marked bool
	// earlier reports whether the metadata have the form of releases that wrote no
	// marker, which joined by kafka-go: it leaves out the partitions that belong to
	// version 1.
	earlier bool
	// config is the hash of the replica's configuration, 8 hexadecimal digits; "" if it
	// is unknown.
	config string
}

// marker ends the user data of this program's replicas, which tells them from members
// of other libraries.
const marker = "clientevents"

// encodeSubscription writes the metadata for one of the protocols. size is how many
// partitions the topic had when this member found that their number had changed, and 0
// if it did not: a broker starts a rebalance for a member that joins again only if its
// metadata changed.
func encodeSubscription(protocol string, s subscription, size int32) []byte {
	version := int16(2)
	if protocol == eager {
		version = 0 // kafka-go fails as the leader when anything follows the user data
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(version))
	b = appendInt32(b, int32(len(s.topics)))
	for _, topic := range s.topics {
		b = appendString(b, topic)
	}
	// As the user data of Java's assignors: the sticky one's has the partitions
	// and the generation, the cooperative one's the generation alone. All readers
	// ignore further bytes.
	var data []byte
	if protocol == eager {
		data = appendPartitions(data, s.owned)
	}
	data = appendInt32(appendInt32(data, s.generation), size)
	data = append(append(data, s.config...), marker...)
	b = append(appendInt32(b, int32(len(data))), data...)
	if version > 0 {
		b = appendPartitions(b, s.owned)
		b = appendInt32(b, s.generation)
	}
	return b
}

// configLength is the length of a configuration's hash.
const configLength = 8

// configOf returns a configuration's hash; "" if the bytes are none, as those of replicas
// that do not state it.
func configOf(b []byte) string {
	if _, err := hex.DecodeString(string(b)); err != nil {
		return ""
	}
	return string(b)
}

// errMetadata marks metadata of a member that can't be read.
var errMetadata = errors.New("unreadable metadata")

// decodeSubscription reads a member's metadata of any version, as written by any
// client library.
func decodeSubscription(protocol string, b []byte) (subscription, error) {
	r := &reader{b: b}
	s := subscription{generation: none, owned: map[string][]int32{}}
	version := r.int16()
	for range r.count(2) {
		s.topics = append(s.topics, r.string())
	}
	data := r.bytes(int(r.int32()))
	if r.bad || version < 0 {
		return s, fmt.Errorf("%w: subscription of version %d with %d bytes", errMetadata, version, len(b))
	}
	if data, s.marked = bytes.CutSuffix(data, []byte(marker)); s.marked && len(data) >= configLength {
		s.config = configOf(data[len(data)-configLength:])
	}
	if protocol == eager && version == 0 {
		// Only our members have partitions here; for anything else it is noise.
		u := &reader{b: data}
		if owned, generation := u.partitions(), u.int32(); !u.bad {
			s.owned, s.generation = owned, generation
		}
		return s, nil
	}
	if len(data) >= 4 {
		s.generation = int32(binary.BigEndian.Uint32(data))
	}
	s.earlier = version == 1 && len(r.b) == 0
	if version >= 1 && len(r.b) > 0 {
		s.owned = r.partitions()
	}
	if version >= 2 {
		s.generation = r.int32()
	}
	if r.bad {
		return s, fmt.Errorf("%w: subscription of version %d with %d bytes", errMetadata, version, len(b))
	}
	return s, nil
}

// encodeAssignment writes a member's assignment, as a leader sends it. all is how many
// partitions each topic had.
func encodeAssignment(assigned map[string][]int32, all map[string]int32) []byte {
	b := appendPartitions(binary.BigEndian.AppendUint16(nil, 1), assigned)
	counts := map[string][]int32{}
	for topic, n := range all {
		counts[topic] = []int32{n}
	}
	data := appendPartitions(nil, counts)
	return append(appendInt32(b, int32(len(data))), data...)
}

// decodeAssignment reads an assignment of any version. all is nil if the leader
// did not tell how many partitions it knew of.
func decodeAssignment(b []byte) (assigned map[string][]int32, all map[string]int32, err error) {
	if len(b) == 0 {
		return nil, nil, nil // a leader that left this member out
	}
	r := &reader{b: b}
	version := r.int16()
	assigned = r.partitions()
	data := r.bytes(int(r.int32()))
	if r.bad || version < 0 {
		return nil, nil, fmt.Errorf("%w: assignment of version %d with %d bytes", errMetadata, version, len(b))
	}
	u := &reader{b: data}
	counts := u.partitions()
	if u.bad || len(counts) == 0 {
		return assigned, nil, nil // another library's user data
	}
	all = map[string]int32{}
	for topic, n := range counts {
		if len(n) != 1 {
			return assigned, nil, nil
		}
		all[topic] = n[0]
	}
	return assigned, all, nil
}

func appendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func appendPartitions(b []byte, partitions map[string][]int32) []byte {
	b = appendInt32(b, int32(len(partitions)))
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		b = appendInt32(appendString(b, topic), int32(len(partitions[topic])))
		for _, p := range partitions[topic] {
			b = appendInt32(b, p)
		}
	}
	return b
}

// reader reads another member's bytes. After the first fault it is bad and
// returns zeros. It never allocates more than the input justifies.
type reader struct {
	b   []byte
	bad bool
}

// bytes returns the next n bytes, and nil for a negative n, which is null.
func (r *reader) bytes(n int) []byte {
	if n < 0 {
		return nil
	}
	if n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) int16() int16 {
	if b := r.bytes(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) string() string { return string(r.bytes(int(r.int16()))) }

// count reads how many elements of at least size bytes follow.
func (r *reader) count(size int) int {
	n := int(r.int32())
	if n > len(r.b)/size {
		r.b, r.bad = nil, true
		return 0
	}
	return max(0, n)
}

func (r *reader) partitions() map[string][]int32 {
	all := map[string][]int32{}
	for range r.count(6) {
		topic := r.string()
		for range r.count(4) {
			all[topic] = append(all[topic], r.int32())
		}
	}
	return all
}
