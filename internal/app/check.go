package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/clientevents/clientevents/internal/config"
)

// Finding is one thing that was checked.
type Finding struct {
	// Result is "ok", "note" (it works, and somebody should know) or "FAIL".
	Result string `json:"result"`
	// What was checked, and what came of it.
	What string `json:"what"`
	Says string `json:"says"`
	// Do is what to do; "" where nothing is to be done.
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

// Check looks at each thing that has to be in order before events can be
// carried, and says whether all are. Nothing is changed, and no event is
// created: the API is sent an empty event, which every version refuses.
func Check(ctx context.Context, c *config.Config, found func(Finding)) bool {
	ch := &check{c: c, found: found, sound: true}
	ch.ok("configuration", "sound")
	ch.kafka(ctx)
	ch.api(ctx)
	return ch.sound
}

// checkTimeout is for each thing that is checked.
const checkTimeout = 10 * time.Second

type check struct {
	c     *config.Config
	found func(Finding)
	sound bool
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

// trouble is what is wrong with a connection, in words, and what to do.
type trouble struct{ says, do string }

func (t *trouble) Error() string { return t.says }

// connectTrouble says why there is no connection to an address of a key.
func connectTrouble(err error, key string) *trouble {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return &trouble{fmt.Sprintf("there is no host %q (%s)", dns.Name, dns.Err), "mend " + key + ", or the name server"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &trouble{"nobody listens there: the connection is refused", "is it running, and is " + key + " right?"}
	case late(err):
		return &trouble{"no connection within " + checkTimeout.String(), "is " + key + " right? A firewall may be in between"}
	}
	return &trouble{err.Error(), "is " + key + " right?"}
}

func late(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// tlsTrouble says what is wrong with a server's certificate; nil where it is
// something else. authority is where to name whom to trust.
func tlsTrouble(err error, authority string) *trouble {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return &trouble{"its certificate is signed by an authority that is not trusted: " + err.Error(), "give the authority's certificate as " + authority}
	case errors.As(err, &name):
		return &trouble{"its certificate is for another name: " + name.Error(), "use one of the certificate's names as address"}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &trouble{"its certificate has ended, or has not begun: " + invalid.Error(), "renew the certificate; or is this machine's clock wrong?"}
	case errors.As(err, &invalid):
		return &trouble{"its certificate is not valid: " + invalid.Error(), "renew the certificate"}
	}
	return nil
}

// brokerTLSTrouble is [tlsTrouble] with a broker, which may want to trust us, too.
func brokerTLSTrouble(err error) *trouble {
	if said, ok := alert(err); ok {
		return &trouble{
			"it refuses this program's certificate, or wants one: " + said,
			"give a certificate that it trusts as kafka.tls.cert_file and kafka.tls.key_file",
		}
	}
	return tlsTrouble(err, "kafka.tls.ca_file")
}

// alert is what the other side of a TLS connection complained of.
func alert(err error) (said string, ok bool) {
	at, ok := errors.AsType[*net.OpError](err)
	if !ok || at.Op != "remote error" {
		return "", false
	}
	return at.Err.Error(), true
}

// handshakeTrouble says why a broker does not speak TLS with us.
func handshakeTrouble(err error) *trouble {
	if t := brokerTLSTrouble(err); t != nil {
		return t
	}
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), late(err):
		return &trouble{"it does not speak TLS at this port", "use the broker's TLS port, or set kafka.tls.enabled to false"}
	}
	return &trouble{"no TLS connection: " + err.Error(), "is this the broker's TLS port?"}
}
