package config

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/netx"
	"github.com/clientevents/clientevents/internal/tlsfile"
)

// withoutPath removes the path from a file's error; the path is shown as the
// faulty value.
func withoutPath(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is no such file")
	}
	return err
}

// readable returns an error unless a file exists and can be read.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return withoutPath(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return withoutPath(err)
	}
	if info.IsDir() {
		return errors.New("it is a directory")
	}
	return nil
}

// checkTogether checks rules that involve several keys.
func (l *loader) checkTogether(c *Config) {
	l.checkParent(c.API)
	if strings.HasPrefix(c.API.Endpoint, "http://") && c.API.Credentials != "none" && !loopbackURL(c.API.Endpoint) {
		l.check("api.endpoint", "credentials are not sent over plain http, except to a loopback address: expected https, or api.credentials: none")
	}
	l.checkTopics(c.Kafka)
	l.checkTLS(c.Kafka.TLS)
	l.checkSASL(&c.Kafka.SASL)
	l.checkInput(c)
	l.checkPrivacy(c)
}

func (l *loader) checkParent(a API) {
	if a.Parent == "" {
		return
	}
	if a.Version != 0 {
		if err := a.Version.CheckParent(a.Parent); err != nil {
			_, want, _ := strings.Cut(err.Error(), ": ")
			l.check("api.parent", want+", the form for api.version "+a.Version.String())
		}
		return
	}
	// Without a version it is still wrong where it fits none: v4beta1 takes all forms.
	if event.V4Beta1.CheckParent(a.Parent) != nil {
		l.check("api.parent", "expected "+l.key("api.parent").Help)
	}
}

// check adds a fault with the key's value to a key without a fault.
func (l *loader) check(path, want string) {
	if l.faulty(path) {
		return
	}
	g := l.given[path]
	v := g.at
	if len(g.values) == 1 {
		v = g.values[0]
	}
	if v.where == "" {
		v.where = l.placeFor(l.key(path))
	}
	l.faultAt(path, v, want)
}

// longestTopic is the length in bytes of the longest name that a topic may have.
const longestTopic = 249

func (l *loader) checkTopics(k Kafka) {
	if k.Topic == "" {
		return
	}
	if k.DeadLetterTopic == k.Topic || k.DeadLetterTopic == k.StateTopic {
		l.check("kafka.dead_letter_topic", "expected a topic other than the source and the state topic")
	}
	if k.StateTopic == k.Topic {
		l.check("kafka.state_topic", "expected a topic other than the source topic")
	}
	// The limit is checked for names that were given; these are made of one.
	if len(k.DeadLetterTopic) > longestTopic {
		l.check("kafka.dead_letter_topic", "expected a name of its own: the default would be longer than a topic's name may be")
	}
	if len(k.StateTopic) > longestTopic {
		l.check("kafka.state_topic", "expected a name of its own: the default would be longer than a topic's name may be")
	}
}

func (l *loader) checkTLS(t TLS) {
	set := map[string]string{"kafka.tls.ca_file": t.CAFile, "kafka.tls.cert_file": t.CertFile, "kafka.tls.key_file": t.KeyFile}
	for path, file := range set {
		if file != "" && !t.Enabled && !l.faulty("kafka.tls.enabled") {
			l.check(path, "has no effect: expected kafka.tls.enabled: true")
		}
	}
	switch {
	case t.KeyFile != "" && t.CertFile == "":
		l.check("kafka.tls.cert_file", "is required together with kafka.tls.key_file")
	case t.CertFile != "" && t.KeyFile == "":
		l.check("kafka.tls.key_file", "is required together with kafka.tls.cert_file")
	case t.CertFile != "" && !l.faulty("kafka.tls.cert_file") && !l.faulty("kafka.tls.key_file"):
		if _, err := tlsfile.Pair(t.CertFile, t.KeyFile); err != nil {
			l.check("kafka.tls.cert_file", "expected a PEM certificate that belongs to kafka.tls.key_file: "+err.Error())
		}
	}
	if t.CAFile == "" || l.faulty("kafka.tls.ca_file") {
		return
	}
	if _, err := tlsfile.Pool(t.CAFile); err != nil {
		l.check("kafka.tls.ca_file", "expected a file of PEM certificates: "+withoutPath(err).Error())
	}
}

func (l *loader) checkSASL(s *SASL) {
	l.checkOAuth(*s)
	s.FixedPassword = s.Password != ""
	if s.Password == "" && s.PasswordFile != "" && !l.faulty("kafka.sasl.password_file") {
		data, err := readFile(s.PasswordFile)
		s.Password = Secret(strings.TrimRight(string(data), "\r\n"))
		switch {
		case err != nil:
			l.check("kafka.sasl.password_file", "expected a file that can be read: "+err.Error())
		case s.Password == "":
			l.check("kafka.sasl.password_file", "expected a file that holds the password: it is empty")
		}
	}
	switch s.Mechanism {
	case NoLogin:
		if s.Username != "" || s.PasswordFile != "" || s.Password != "" {
			l.check("kafka.sasl.mechanism", "is required where other keys of kafka.sasl are set")
		}
	case OAuthBearer:
		for path, set := range map[string]bool{"kafka.sasl.username": s.Username != "", "kafka.sasl.password_file": s.PasswordFile != ""} {
			if set {
				l.check(path, "has no effect: oauthbearer logs in with a token")
			}
		}
	default:
		if s.Username == "" {
			l.check("kafka.sasl.username", "is required for "+string(s.Mechanism))
		}
		if s.Password == "" && s.PasswordFile == "" {
			l.check("kafka.sasl.password_file", "is required for "+string(s.Mechanism)+", or else environment variable CLIENTEVENTS_KAFKA_SASL_PASSWORD")
		}
	}
}

func loopbackURL(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	return netx.IsLoopback(u.Hostname())
}
