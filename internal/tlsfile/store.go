package tlsfile

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/scrub"
)

// Store keeps certificates current and publishes when they expire, as
// clientevents_certificate_expiry_timestamp_seconds. It is safe for concurrent use. Nil
// reads each file once and publishes nothing.
type Store struct {
	files   *filewatch.Watcher
	secrets *scrub.Scrubber

	mu    sync.Mutex
	inUse map[string][]*x509.Certificate // by key of the configuration
}

// New returns a store that watches files and hides keys from texts. A nil registerer
// registers nothing.
func New(files *filewatch.Watcher, secrets *scrub.Scrubber, reg prometheus.Registerer) *Store {
	s := &Store{files: files, secrets: secrets, inUse: map[string][]*x509.Certificate{}}
	if reg != nil {
		reg.MustRegister(collector{s})
	}
	return s
}

// Expiry is when certificates that are in use expire.
type Expiry struct {
	// Key is the key of the configuration that names the file.
	Key string `json:"key"`
	// Subject is that of the certificate which expires first.
	Subject string    `json:"subject"`
	Expires time.Time `json:"expires"`
}

// Expiries returns the expiry of each file in use, by key.
func (s *Store) Expiries(now time.Time) []Expiry {
	all := []Expiry{}
	if s == nil {
		return all
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, certificates := range s.inUse {
		all = append(all, FirstExpiry(key, certificates, now))
	}
	slices.SortFunc(all, func(a, b Expiry) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

// FirstExpiry returns when the first of some certificates expires that has not expired
// yet: an authority that has expired does no harm beside its successor. If all have
// expired, it returns the last of them.
func FirstExpiry(key string, certificates []*x509.Certificate, now time.Time) Expiry {
	sorted := slices.SortedFunc(slices.Values(certificates), func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	for i, c := range sorted {
		if c.NotAfter.After(now) || i == len(sorted)-1 {
			return Expiry{Key: key, Subject: c.Subject.String(), Expires: c.NotAfter}
		}
	}
	return Expiry{Key: key}
}

// Pool returns a function that returns the authorities in a file at the moment. key is
// the key of the configuration that names the file.
func (s *Store) Pool(key, file string) (func() *x509.CertPool, error) {
	if s == nil {
		pool, err := Pool(file)
		return func() *x509.CertPool { return pool }, err
	}
	v, err := filewatch.Watch(s.files, filewatch.Files[*x509.CertPool]{
		Name: key, Paths: []string{file},
		Parse: func(contents [][]byte) (*x509.CertPool, error) {
			pool, certificates, err := parsePool(contents[0])
			if err == nil {
				s.use(key, certificates)
			}
			return pool, err
		},
	})
	if err != nil {
		return nil, err
	}
	return v.Get, nil
}

// Pair returns a function that returns the certificate and key in two files at the
// moment. certKey and keyKey are the keys of the configuration that name the files.
func (s *Store) Pair(certKey, certFile, keyKey, keyFile string) (func() *tls.Certificate, error) {
	if s == nil {
		pair, err := Pair(certFile, keyFile)
		return func() *tls.Certificate { return &pair }, err
	}
	v, err := filewatch.Watch(s.files, filewatch.Files[*tls.Certificate]{
		Name: certKey, Paths: []string{certFile, keyFile},
		Parse: func(contents [][]byte) (*tls.Certificate, error) {
			s.secrets.Add(keyKey, string(contents[1]))
			pair, err := tls.X509KeyPair(contents[0], contents[1])
			if err == nil {
				s.use(certKey, certificates(contents[0]))
			}
			return &pair, err
		},
	})
	if err != nil {
		return nil, err
	}
	return v.Get, nil
}

func (s *Store) use(key string, certificates []*x509.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse[key] = certificates
}

// collector collects the expiries at each scrape, since they depend on the time.
type collector struct{ store *Store }

var expiry = prometheus.NewDesc("clientevents_certificate_expiry_timestamp_seconds",
	"Expiry time of the certificate in use that expires first, by the configuration key that names its file.", []string{"certificate"}, nil)

// Describe implements [prometheus.Collector].
func (collector) Describe(ch chan<- *prometheus.Desc) { ch <- expiry }

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, e := range c.store.Expiries(time.Now()) {
		ch <- prometheus.MustNewConstMetric(expiry, prometheus.GaugeValue, float64(e.Expires.Unix()), e.Key)
	}
}
