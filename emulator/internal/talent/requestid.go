package talent

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// requestKey signs request IDs. So the catalog recognizes its own without storing
// them, also after a restart.
type requestKey [32]byte

func newRequestKey() (k requestKey) {
	_, _ = rand.Read(k[:]) // does not fail
	return k
}

// NewRequestID returns the ID of an answer: "A unique id associated with this
// call." It has the service's form, a UUID, a colon and base64.
func (c *Catalog) NewRequestID(scope Scope) string {
	c.searched.Store(true)
	id := newID()
	return id + ":" + c.key.sign(id, scope)
}

// KnowsRequest reports whether an answer to a call in the scope had the ID.
func (c *Catalog) KnowsRequest(scope Scope, requestID string) bool {
	id, signature, ok := strings.Cut(requestID, ":")
	return ok && len(id) == 36 && hmac.Equal([]byte(signature), []byte(c.key.sign(id, scope)))
}

func (k *requestKey) sign(id string, scope Scope) string {
	mac := hmac.New(sha256.New224, k[:])
	mac.Write([]byte(id + " " + scope.key().String()))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
