package main

import (
	"bufio"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	pb "cloud.google.com/go/talent/apiv4/talentpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// startCommand runs the command until the test ends, and returns its address.
func startCommand(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	code := make(chan int, 1)
	var errs strings.Builder
	go func() {
		code <- run(ctx, append([]string{"--listen", "127.0.0.1:0"}, args...), write, &errs)
		write.Close()
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	t.Cleanup(func() {
		cancel()
		if got := <-code; got != 0 {
			t.Errorf("exit code %d: %s", got, &errs)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	_, addr, _ := strings.Cut(strings.TrimSpace(line), "://")
	return addr
}

func listTenants(t *testing.T, addr string, c credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = pb.NewTenantServiceClient(conn).ListTenants(t.Context(), &pb.ListTenantsRequest{Parent: "projects/p"})
	return err
}

func TestCommand(t *testing.T) {
	if err := listTenants(t, startCommand(t), insecure.NewCredentials()); err != nil {
		t.Error(err)
	}
	if err := listTenants(t, startCommand(t, "--refuse", "403"), insecure.NewCredentials()); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "emulator.pem")
	addr := startCommand(t, "--tls", file)
	trusted, err := credentials.NewClientTLSFromFile(file, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := listTenants(t, addr, trusted); err != nil {
		t.Error(err)
	}
	if err := listTenants(t, addr, credentials.NewClientTLSFromCert(nil, "")); err == nil {
		t.Error("a certificate that is not trusted was accepted")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range []string{"--nonsense", "--quota x", "extra", "--outage no", "--keep -1", "--seed none.json"} {
		var errs strings.Builder
		if code := run(t.Context(), strings.Fields(args), io.Discard, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%s: exit code %d, %s", args, code, &errs)
		}
	}
}
