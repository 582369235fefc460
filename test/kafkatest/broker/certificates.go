package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Names of the files that writeCertificates leaves in its folder.
const (
	caFile         = "ca.pem"
	serverFile     = "server.pem" // key and certificate, as Kafka's PEM key store wants them
	clientCertFile = "client-cert.pem"
	clientKeyFile  = "client-key.pem"
)

// writeCertificates makes a certificate authority and has it sign a certificate
// for a server on this machine and one for a client.
func writeCertificates(dir string) error {
	authority := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "clientevents test authority"},
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	caKey, caPEM, err := sign(authority, authority, nil)
	if err != nil {
		return fmt.Errorf("make a certificate authority: %w", err)
	}
	server := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	serverKey, serverPEM, err := sign(server, authority, caKey)
	if err != nil {
		return fmt.Errorf("make the server's certificate: %w", err)
	}
	client := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "clientevents"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	clientKey, clientPEM, err := sign(client, authority, caKey)
	if err != nil {
		return fmt.Errorf("make the client's certificate: %w", err)
	}
	serverKeyPEM, err := keyPEM(serverKey)
	if err != nil {
		return err
	}
	clientKeyPEM, err := keyPEM(clientKey)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		caFile: caPEM, serverFile: append(serverKeyPEM, serverPEM...),
		clientCertFile: clientPEM, clientKeyFile: clientKeyPEM,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// sign makes a key and a certificate for it, signed with parentKey or, where
// that is nil, with the key itself.
func sign(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if parentKey == nil {
		parentKey = key
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, err
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	template.KeyUsage |= x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// keyPEM is key in PKCS #8, the only form that Kafka reads.
func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
