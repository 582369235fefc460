package connect

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/clientevents/clientevents/internal/config"
)

// kafkaTLS returns a function that makes the TLS configuration of the next connection
// to a broker, of the current files; nil where TLS is off.
func kafkaTLS(c config.TLS, o Options) (func() *tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	made := []func(*tls.Config){}
	if c.CAFile != "" {
		pool, err := o.Certificates.Pool("kafka.tls.ca_file", c.CAFile)
		if err != nil {
			return nil, err
		}
		made = append(made, func(t *tls.Config) { t.RootCAs = pool() })
	}
	if c.CertFile != "" {
		pair, err := o.Certificates.Pair("kafka.tls.cert_file", c.CertFile, "kafka.tls.key_file", c.KeyFile)
		if err != nil {
			return nil, err
		}
		made = append(made, func(t *tls.Config) { t.Certificates = []tls.Certificate{*pair()} })
	}
	return func() *tls.Config {
		t := &tls.Config{MinVersion: tls.VersionTLS12}
		for _, set := range made {
			set(t)
		}
		return t
	}, nil
}

// encrypted returns dial with TLS, by the configuration of the moment.
func encrypted(dial DialFunc, config func() *tls.Config) DialFunc {
	if config == nil {
		return dial
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		t := config()
		if t.ServerName, _, err = net.SplitHostPort(address); err != nil {
			conn.Close()
			return nil, err
		}
		client := tls.Client(conn, t)
		if err := client.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return client, nil
	}
}
