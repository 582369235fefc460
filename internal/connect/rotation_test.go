package connect

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/tlsfile"
)

// issued is a certificate with its key.
type issued struct {
	cert, key []byte // PEM
	pair      tls.Certificate
	signer    *ecdsa.PrivateKey
}

// issue signs a certificate with authority; nil makes an authority.
func issue(t *testing.T, name string, authority *issued) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"broker"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: authority == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := template, key
	if authority != nil {
		parent, signer = authority.pair.Leaf, authority.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	i := &issued{
		cert:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		signer: key,
	}
	if i.pair, err = tls.X509KeyPair(i.cert, i.key); err != nil {
		t.Fatal(err)
	}
	return i
}

// TestRotation replaces the client's certificate and key one after the other, and then the
// authority: each new connection uses the newest valid files.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oldCA, newCA := issue(t, "old CA", nil), issue(t, "new CA", nil)
		first, second := issue(t, "first", oldCA), issue(t, "second", oldCA)
		dir := t.TempDir()
		put := func(name string, content []byte) string {
			t.Helper()
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * filewatch.Every)
			synctest.Wait()
			return path
		}
		c := config.TLS{Enabled: true, CAFile: put("ca", oldCA.cert), CertFile: put("cert", first.cert), KeyFile: put("key", first.key)}
		files := filewatch.New(slog.New(slog.NewTextHandler(t.Output(), nil)), nil)
		defer files.Close()
		secure, err := kafkaTLS(c, Options{Certificates: tlsfile.New(files, nil, nil)})
		if err != nil {
			t.Fatal(err)
		}
		// handshake connects to a server with a certificate of an authority, and returns
		// the name in the client's.
		handshake := func(authority *issued) (string, error) {
			client, server := net.Pipe()
			defer client.Close()
			defer server.Close()
			// A handshake that fails has both ends write, and a pipe has no buffer.
			_ = client.SetDeadline(time.Now().Add(time.Minute))
			_ = server.SetDeadline(time.Now().Add(time.Minute))
			broker := tls.Server(server, &tls.Config{
				Certificates: []tls.Certificate{issue(t, "broker", authority).pair}, ClientAuth: tls.RequireAnyClientCert,
			})
			go func() {
				if broker.Handshake() == nil {
					_, _ = io.WriteString(broker, broker.ConnectionState().PeerCertificates[0].Subject.CommonName+"\n")
				}
				broker.Close()
			}()
			dial := encrypted(func(context.Context, string, string) (net.Conn, error) { return client, nil }, secure)
			conn, err := dial(t.Context(), "tcp", "broker:9093")
			if err != nil {
				return "", err
			}
			name, err := io.ReadAll(io.LimitReader(conn, 6))
			return string(name), err
		}
		expect := func(authority *issued, want string) {
			t.Helper()
			if got, err := handshake(authority); err != nil || got[:len(want)] != want {
				t.Errorf("the client is %q, %v, want %s", got, err, want)
			}
		}
		expect(oldCA, "first")
		put("cert", second.cert) // beside the old key
		expect(oldCA, "first")
		put("key", second.key)
		expect(oldCA, "second")
		put("ca", newCA.cert[:len(newCA.cert)/2]) // half-written
		expect(oldCA, "second")
		put("ca", newCA.cert)
		expect(newCA, "second")
		only := x509.NewCertPool()
		only.AppendCertsFromPEM(newCA.cert)
		if !secure().RootCAs.Equal(only) {
			t.Error("other authorities than the new one are trusted")
		}
	})
}
