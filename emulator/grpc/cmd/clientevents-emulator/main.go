// Command clientevents-emulator serves the emulator over HTTP and gRPC on one port.
// It takes the flags of "clientevents emulator", and --tls.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/clientevents/clientevents/internal/emulatorflags"
	"github.com/spf13/pflag"

	emulatorgrpc "github.com/clientevents/clientevents/emulator/grpc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 2 for wrong usage, 1 for a failure.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	set := pflag.NewFlagSet("clientevents-emulator", pflag.ContinueOnError)
	set.SetOutput(errs)
	listen := set.String("listen", "127.0.0.1:8080", "`ADDR` to listen on")
	certificate := set.String("tls", "", "serve TLS with a new certificate, which is written to `FILE` for clients to trust")
	flags := emulatorflags.Register(set)
	err := set.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	if err == nil && set.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(errs, "clientevents-emulator: %v\n", err)
		return 2
	}
	e, err := flags.Open()
	if err != nil {
		fmt.Fprintf(errs, "clientevents-emulator: %v\n", err)
		return 2
	}
	ln, err := listener(ctx, *listen, *certificate)
	if err == nil {
		scheme := "http"
		if *certificate != "" {
			scheme = "https"
		}
		fmt.Fprintf(out, "listening on %s://%s\n", scheme, ln.Addr())
		err = e.ServeHandler(ctx, ln, emulatorgrpc.Handler(e))
	}
	if err := errors.Join(err, e.Close()); err != nil {
		fmt.Fprintf(errs, "clientevents-emulator: %v\n", err)
		return 1
	}
	return 0
}

// listener listens with TLS if there is a file for the certificate.
func listener(ctx context.Context, addr, certificate string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil || certificate == "" {
		return ln, err
	}
	own, encoded, err := newCertificate()
	if err == nil {
		err = os.WriteFile(certificate, encoded, 0o644)
	}
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return tls.NewListener(ln, &tls.Config{
		Certificates: []tls.Certificate{own}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12,
	}), nil
}
