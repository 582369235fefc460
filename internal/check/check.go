// Package check verifies the configuration, the brokers, the topics, the
// credentials and the endpoint before events are sent.
package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/netx"
	"github.com/clientevents/clientevents/internal/scrub"
)

// Finding is the result of one check.
type Finding struct {
	// Result is "ok", "note" (it works, with a remark) or "FAIL".
	Result string `json:"result"`
	// What is the subject of the check, and Says its result.
	What string `json:"what"`
	Says string `json:"says"`
	// Do is the remedy; "" if none is needed.
	Do string `json:"do,omitempty"`
}

// The values of Finding.Result.
const (
	foundOK   = "ok"
	foundNote = "note"
	foundFail = "FAIL"
)

// String is the finding in one line.
func (f Finding) String() string {
	text := f.Says
	if f.Do != "" {
		text = strings.TrimSuffix(text, ".") + ". To do: " + f.Do
	}
	return fmt.Sprintf("%-5s %s: %s", f.Result, f.What, strings.Join(strings.Fields(text), " "))
}

// Options change how the check connects. The zero value is complete.
type Options struct {
	// DialKafka, DialAPI and DialAdmin replace the network; nil uses it.
	DialKafka, DialAPI, DialAdmin connect.DialFunc
	// Timeout bounds each thing that is checked; default 10 s. Half of it is for
	// a server's first answer.
	Timeout time.Duration
}

// defaultTimeout is the default of [Options.Timeout].
const defaultTimeout = 10 * time.Second

// limits bound the parts of a check.
type limits struct {
	each time.Duration
	// answer is for a server's first answer: a server that is not Kafka may never
	// send one.
	answer time.Duration
}

func limitsOf(timeout time.Duration) limits {
	timeout = cmp.Or(timeout, defaultTimeout)
	return limits{each: timeout, answer: timeout / 2}
}

// Run checks each thing that must be in order before events can be sent, calls
// found with each finding, and reports whether all are in order. It changes
// nothing and creates no event: it sends the API an empty event, which every
// version rejects.
func Run(ctx context.Context, c *config.Config, o Options, found func(Finding)) bool {
	clean := func(f Finding) {
		c.Secrets.Strings(&f)
		found(f)
	}
	ch := &check{c: c, o: o, limits: limitsOf(o.Timeout), found: clean, sound: true}
	if c.Secrets == nil {
		c.Hide(&scrub.Scrubber{})
	}
	ch.ok("configuration", "valid")
	ch.privacy()
	ch.certificates(time.Now())
	ch.kafka(ctx)
	ch.registry(ctx)
	ch.api(ctx)
	ch.replica(ctx)
	return ch.sound
}

type check struct {
	c      *config.Config
	o      Options
	limits limits
	found  func(Finding)
	sound  bool
	// replicas is the number of members of the group.
	replicas int
}

func (ch *check) ok(what, format string, args ...any) {
	ch.found(Finding{foundOK, what, fmt.Sprintf(format, args...), ""})
}

func (ch *check) note(what, says, do string) {
	ch.found(Finding{foundNote, what, says, do})
}

func (ch *check) fail(what, says, do string) {
	ch.sound = false
	ch.found(Finding{foundFail, what, says, do})
}

// trouble describes a problem of a connection and the remedy.
type trouble struct{ says, do string }

func (t *trouble) Error() string { return t.says }

// connectTrouble describes why an address of a key can't be connected to.
func connectTrouble(err error, l limits, key string) *trouble {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return &trouble{fmt.Sprintf("there is no host %q (%s)", dns.Name, dns.Err), "correct " + key + ", or the name server"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &trouble{"connection refused: no server listens there", "check that the server runs and that " + key + " is correct"}
	case netx.IsTimeout(err):
		return &trouble{"no connection within " + l.each.String(), "check " + key + " and firewalls"}
	}
	return &trouble{err.Error(), "check " + key}
}

// tlsTrouble describes the problem of a server's certificate; nil for
// other errors. authority names the setting for trusted authorities.
func tlsTrouble(err error, authority string) *trouble {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return &trouble{"its certificate is signed by an authority that is not trusted: " + err.Error(), "set the authority's certificate in " + authority}
	case errors.As(err, &name):
		return &trouble{"its certificate is for another name: " + name.Error(), "use one of the certificate's names as the address"}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &trouble{"its certificate has expired or is not valid yet: " + invalid.Error(), "renew the certificate, or correct this machine's clock"}
	case errors.As(err, &invalid):
		return &trouble{"its certificate is not valid: " + invalid.Error(), "renew the certificate"}
	}
	return nil
}

// brokerTLSTrouble is [tlsTrouble] for a broker, which may require a client certificate.
func brokerTLSTrouble(err error) *trouble {
	if said, ok := alert(err); ok {
		return &trouble{
			"it rejects this program's certificate or requires one: " + said,
			"set kafka.tls.cert_file and kafka.tls.key_file to a certificate that it trusts",
		}
	}
	return tlsTrouble(err, "kafka.tls.ca_file")
}

// alert returns the TLS alert that the other side sent.
func alert(err error) (said string, ok bool) {
	at, ok := errors.AsType[*net.OpError](err)
	if !ok || at.Op != "remote error" {
		return "", false
	}
	return at.Err.Error(), true
}

// handshakeTrouble describes why the TLS handshake with a broker failed.
func handshakeTrouble(err error) *trouble {
	if t := brokerTLSTrouble(err); t != nil {
		return t
	}
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), netx.IsTimeout(err):
		return &trouble{"the port does not serve TLS", "use the broker's TLS port, or set kafka.tls.enabled to false"}
	}
	return &trouble{"no TLS connection: " + err.Error(), "check that this is the broker's TLS port"}
}
