package kafkalog

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// newestVersions remembers the newest version of a request that each broker knows.
type newestVersions struct {
	mu sync.Mutex
	of map[int32]int16
}

// ask returns a broker's newest version, and asks the broker for it the first time.
func (n *newestVersions) ask(broker int32, ask func() (int16, error)) (int16, error) {
	n.mu.Lock()
	version, known := n.of[broker]
	n.mu.Unlock()
	if known {
		return version, nil
	}
	version, err := ask()
	if err != nil {
		return 0, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = map[int32]int16{}
	}
	n.of[broker] = version
	return version, nil
}

// forget makes the next request ask again: a broker may be another release after a restart.
func (n *newestVersions) forget(broker int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.of, broker)
}

// askNewest asks a broker for the newest version that it has of a request; -1 if it has none.
// kafka-go reports no version that it does not use itself.
func askNewest(rw io.ReadWriter, of protocol.ApiKey, correlation int32, clientID string) (int16, error) {
	const usual = 4 << 10
	request := appendHead(nil, protocol.ApiVersions, 0, correlation, clientID)
	setLength(request)
	body, err := exchange(rw, request, usual)
	if err != nil {
		return 0, err
	}
	r := reader{b: body}
	if code := r.int16(); code != 0 {
		return 0, kafka.Error(code)
	}
	newest := int16(-1)
	for range max(0, r.int32()) {
		key, _, highest := r.int16(), r.int16(), r.int16()
		if r.bad {
			return 0, fmt.Errorf("%w: it ends too early", errAnswer)
		}
		if protocol.ApiKey(key) == of {
			newest = highest
		}
	}
	return newest, nil
}

// tooOld is the error of a broker that knows a request only up to a version, where another
// one is needed, which a release of Kafka has.
func tooOld(request string, newest, want int16, release string) error {
	return fmt.Errorf("%w: the broker supports %s only up to version %d: expected %d (Kafka %s) or newer",
		kafka.UnsupportedVersion, request, newest, want, release)
}

// noTags ends what has no tagged fields in the flexible encoding.
const noTags = 0

// flexReader reads both encodings of the protocol: the flexible one has compact
// lengths and tagged fields (KIP-482).
type flexReader struct {
	reader
	flexible bool
}

func (r *flexReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// length reads an array's length; 0 for null. It is never more than the bytes that
// are left.
func (r *flexReader) length() int {
	var n int64
	if r.flexible {
		n = int64(r.uvarint()) - 1
	} else {
		n = int64(r.int32())
	}
	if n > int64(len(r.b)) {
		r.fail()
	}
	if r.bad {
		return 0
	}
	return int(max(0, n))
}

// text reads a string; "" for null.
func (r *flexReader) text() string {
	if !r.flexible {
		return r.string()
	}
	return string(r.bytes(int64(r.length())))
}

// int32s passes over an array of int32 and returns its length.
func (r *flexReader) int32s() int {
	n := r.length()
	r.skip(4 * int64(n))
	return n
}

// tags passes over tagged fields.
func (r *flexReader) tags() {
	if !r.flexible {
		return
	}
	for range r.uvarint() {
		r.uvarint() // tag
		if r.skip(int64(r.uvarint())); r.bad {
			return
		}
	}
}

// size reads the size of bytes; 0 for null.
func (r *flexReader) size() int {
	if r.flexible {
		return r.length()
	}
	return max(0, int(r.int32()))
}
