// Package clients runs programs of other client libraries against a real broker, for
// tests: Java's consumer, and librdkafka by its Python package. Each is a process of
// its own, which ends with its test at the latest.
package clients

import (
	"bufio"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

//go:embed Member.java member.py transaction.py requirements.txt
var programs embed.FS

// A Program is a running client.
type Program struct {
	stdin io.Closer
	ended chan struct{} // closed when it has ended
	err   error         // valid then

	mu   sync.Mutex
	last string // line that it wrote
	any  bool   // it wrote one
}

// JavaMember starts a member of a group with Java's consumer. It reads the topic, and
// has the given configuration ("NAME=VALUE"). It skips t where Java's compiler is missing.
func JavaMember(t testing.TB, topic string, config ...string) *Program {
	t.Helper()
	libraries := os.Getenv("KAFKA_LIBRARIES")
	if libraries == "" {
		t.Skip("not run with Java's consumer, since KAFKA_LIBRARIES is unset: `make kafka-test` starts a broker and runs this test against it")
	}
	javac, err := exec.LookPath("javac")
	if err != nil {
		t.Skip("NOT RUN: javac is missing (Debian: apt-get install default-jdk-headless)")
	}
	folder, all := unpacked(t), filepath.Join(libraries, "*")
	if out, err := exec.CommandContext(t.Context(), javac, "-cp", all, "-d", folder, filepath.Join(folder, "Member.java")).CombinedOutput(); err != nil {
		t.Fatalf("compile Member.java: %v\n%s", err, out)
	}
	return start(t, "java", append([]string{
		"-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=warn", "-cp", folder + ":" + all, "Member", topic,
	}, config...)...)
}

// RdkafkaMember starts a member of a group with librdkafka, as [JavaMember] does.
func RdkafkaMember(t testing.TB, topic string, config ...string) *Program {
	t.Helper()
	return start(t, python(t), append([]string{filepath.Join(unpacked(t), "member.py"), topic}, config...)...)
}

// RdkafkaTransaction opens a transaction with librdkafka that has a record in each of the
// partitions, which [Program.End] commits.
func RdkafkaTransaction(t testing.TB, topic string, partitions []int32, config ...string) *Program {
	t.Helper()
	var ids []string
	for _, p := range partitions {
		ids = append(ids, strconv.Itoa(int(p)))
	}
	p := start(t, python(t), append([]string{filepath.Join(unpacked(t), "transaction.py"), topic, strings.Join(ids, ",")}, config...)...)
	for {
		if _, printed := p.line(); printed {
			return p
		}
		select {
		case <-p.ended:
			t.Fatalf("transaction.py: %v", p.err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// unpacked returns a folder with the programs.
func unpacked(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, programs); err != nil {
		t.Fatal(err)
	}
	return folder
}

// pythonLimit bounds the installation of librdkafka.
const pythonLimit = 3 * time.Minute

// python returns an interpreter that has librdkafka. The first call on a machine installs
// it into the user's cache folder.
func python(t testing.TB) string {
	t.Helper()
	requirements, err := programs.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil { // no home folder
		cache = os.TempDir() //nolint:usetesting // it is kept for the next run
	}
	folder := filepath.Join(cache, "clientevents", fmt.Sprintf("librdkafka-%.4x", sha256.Sum256(requirements)))
	interpreter, complete := filepath.Join(folder, "bin", "python"), filepath.Join(folder, "complete")
	if _, err := os.Stat(complete); err == nil {
		return interpreter
	}
	ctx, cancel := context.WithTimeout(t.Context(), pythonLimit)
	defer cancel()
	for _, command := range [][]string{
		{"python3", "-m", "venv", "--clear", folder},
		{filepath.Join(folder, "bin", "pip"), "install", "--quiet", "--requirement", filepath.Join(unpacked(t), "requirements.txt")},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("NOT RUN: librdkafka for Python can't be installed: %v %s", err, out)
		}
	}
	if err := os.WriteFile(complete, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return interpreter
}

func start(t testing.TB, name string, args ...string) *Program {
	t.Helper()
	ctx, kill := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, name, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Program{stdin: stdin, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.mu.Lock()
			p.last, p.any = lines.Text(), true
			p.mu.Unlock()
		}
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		kill()
		<-p.ended
	})
	return p
}

func (p *Program) line() (last string, printed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.any
}

// Partitions returns the partitions that a member has at the moment.
func (p *Program) Partitions() (all []int32) {
	line, _ := p.line()
	for text := range strings.SplitSeq(line, ",") {
		if id, err := strconv.Atoi(text); err == nil {
			all = append(all, int32(id))
		}
	}
	slices.Sort(all)
	return all
}

// Err returns the error with which a program has ended, if it has.
func (p *Program) Err() error {
	select {
	case <-p.ended:
		return errors.Join(errors.New("the program has ended"), p.err)
	default:
		return nil
	}
}

// End has a member leave its group, or a transaction commit, and waits for the
// program's end.
func (p *Program) End(t testing.TB) {
	t.Helper()
	_ = p.stdin.Close()
	<-p.ended
	if p.err != nil {
		t.Error(p.err)
	}
}
