// Package tlsfile reads certificates and keys from files, keeps them current and
// publishes when they expire.
package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
)

// ErrNoCertificate reports a file without a PEM certificate.
var ErrNoCertificate = errors.New("the file has no PEM certificate")

// Pool reads PEM certificates of authorities. It fails with an [*fs.PathError],
// or with [ErrNoCertificate].
func Pool(file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, _, err := parsePool(content)
	return pool, err
}

// Pair reads a PEM certificate and the key that belongs to it.
func Pair(certFile, keyFile string) (tls.Certificate, error) {
	return tls.LoadX509KeyPair(certFile, keyFile)
}

// Certificates reads the PEM certificates of a file. It fails with an [*fs.PathError],
// or with [ErrNoCertificate].
func Certificates(file string) ([]*x509.Certificate, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := certificates(content)
	if len(all) == 0 {
		return nil, ErrNoCertificate
	}
	return all, nil
}

// parsePool reads PEM certificates of authorities.
func parsePool(content []byte) (*x509.CertPool, []*x509.Certificate, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, nil, ErrNoCertificate
	}
	return pool, certificates(content), nil
}

// certificates returns the readable certificates among the PEM blocks.
func certificates(content []byte) (all []*x509.Certificate) {
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			return all
		}
		if c, err := x509.ParseCertificate(block.Bytes); block.Type == "CERTIFICATE" && err == nil {
			all = append(all, c)
		}
		content = rest
	}
}
