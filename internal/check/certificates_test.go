package check_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestCheckOfCertificates: one that expires soon is noted, and one that has expired fails.
func TestCheckOfCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		left   time.Duration
		result string
		says   string
	}{
		{30 * 24 * time.Hour, "ok    ", "CN=authority expires at "},
		{13 * 24 * time.Hour, "note  ", "replace the file"},
		{-time.Hour, "FAIL  ", "CN=authority expired at "},
	} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(test.left)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		lines, _ := checkWith(t, "KAFKA_TLS_ENABLED=true", "KAFKA_TLS_CA_FILE="+file)
		wantLine(t, lines, test.result[:5]+" certificate kafka.tls.ca_file: ", test.says)
	}
}
