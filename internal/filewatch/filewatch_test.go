package filewatch

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// watched runs test with a value made of two files, in a bubble: "left+right", where
// both must have the same first letter.
func watched(t *testing.T, test func(w *Watcher, v *Value[string], write func(name, text string), log *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		// An empty text removes the file.
		write := func(name, text string) {
			if text == "" {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("left", "a1")
		write("right", "a2")
		var log bytes.Buffer
		w := New(slog.New(slog.NewTextHandler(&log, nil)), nil)
		defer w.running.Wait()
		defer w.Close()
		v, err := Watch(w, Files[string]{
			Name: "pair", Paths: []string{filepath.Join(dir, "left"), filepath.Join(dir, "right")}, Parse: pair,
		})
		if err != nil {
			t.Fatal(err)
		}
		test(w, v, write, &log)
	})
}

func pair(contents [][]byte) (string, error) {
	if len(contents[0]) == 0 || len(contents[1]) == 0 || contents[0][0] != contents[1][0] {
		return "", errors.New("the two don't belong together")
	}
	return string(contents[0]) + "+" + string(contents[1]), nil
}

func TestContentsAreReplaced(t *testing.T) {
	watched(t, func(w *Watcher, v *Value[string], write func(name, text string), log *bytes.Buffer) {
		want := func(value string, failures float64, logged int) {
			t.Helper()
			time.Sleep(Every)
			synctest.Wait()
			if got := v.Get(); got != value {
				t.Errorf("the value is %q, want %q", got, value)
			}
			if got := failed(t, w); got != failures {
				t.Errorf("%v failures, want %v", got, failures)
			}
			if got := strings.Count(log.String(), "level=ERROR"); got != logged {
				t.Errorf("%d errors logged, want %d", got, logged)
			}
		}
		want("a1+a2", 0, 0)
		if !v.Changed().IsZero() {
			t.Error("the first value counts as a change")
		}
		write("left", "b1") // half written
		want("a1+a2", 1, 1)
		want("a1+a2", 1, 1) // the same contents are looked at once
		write("left", "c1")
		want("a1+a2", 2, 2)
		write("right", "b2")
		write("left", "b1")
		want("b1+b2", 2, 2)
		if got := time.Since(v.Changed()); got != 0 {
			t.Errorf("changed %v ago", got)
		}
	})
}

// TestRefresh uses a new content at once, and does not wait for a file that hangs.
func TestRefresh(t *testing.T) {
	watched(t, func(w *Watcher, v *Value[string], write func(name, text string), _ *bytes.Buffer) {
		write("left", "a3")
		began := time.Now()
		if v.Refresh(); v.Get() != "a3+a2" || time.Since(began) != 0 {
			t.Errorf("%q after %v", v.Get(), time.Since(began))
		}
		hang := make(chan struct{})
		defer close(hang)
		w.read = func(string) ([]byte, error) { <-hang; return nil, errors.New("it hung") }
		for range 2 {
			began = time.Now()
			if v.Refresh(); time.Since(began) != patience {
				t.Errorf("it took %v while a file hangs", time.Since(began))
			}
		}
		w.Close()
		began = time.Now()
		if v.Refresh(); time.Since(began) != 0 {
			t.Errorf("it took %v after the end", time.Since(began))
		}
	})
}

// TestMissingFile: it is told once, counted each time, and found when it is back.
func TestMissingFile(t *testing.T) {
	watched(t, func(w *Watcher, v *Value[string], write func(name, text string), log *bytes.Buffer) {
		write("left", "")
		time.Sleep(3*Every + time.Second)
		synctest.Wait()
		if v.Get() != "a1+a2" || strings.Count(log.String(), "level=ERROR") != 1 || failed(t, w) != 3 {
			t.Errorf("%q, %v failures, %s", v.Get(), failed(t, w), log)
		}
		write("left", "a9")
		time.Sleep(Every)
		synctest.Wait()
		if v.Get() != "a9+a2" {
			t.Errorf("%q after it was back", v.Get())
		}
		for _, want := range []float64{1, 0} { // while it is missing, and with the same content as before
			write("left", map[float64]string{1: "", 0: "a9"}[want])
			time.Sleep(Every)
			synctest.Wait()
			var m dto.Metric
			if err := w.stale.WithLabelValues("pair").Write(&m); err != nil || m.GetGauge().GetValue() != want {
				t.Errorf("stale is %v, %v, expected %v", m.GetGauge().GetValue(), err, want)
			}
		}
	})
}

// TestKubernetesLinks: a mounted secret is a link through ..data, which is replaced.
func TestKubernetesLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		version := func(name, text string) {
			if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o755), os.WriteFile(filepath.Join(dir, name, "token"), []byte(text), 0o600),
				os.Symlink(name, filepath.Join(dir, "..data_tmp")), os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data"))); err != nil {
				t.Fatal(err)
			}
		}
		version("..1", "one")
		if err := os.Symlink(filepath.Join("..data", "token"), filepath.Join(dir, "token")); err != nil {
			t.Fatal(err)
		}
		w := New(slog.New(slog.DiscardHandler), nil)
		defer w.running.Wait()
		defer w.Close()
		changes := make(chan string, 1)
		v, err := Watch(w, Files[string]{
			Name: "token", Paths: []string{filepath.Join(dir, "token")},
			Parse:    func(c [][]byte) (string, error) { return string(c[0]), nil },
			OnChange: func(s string) { changes <- s },
		})
		if err != nil || v.Get() != "one" {
			t.Fatal(v, err)
		}
		version("..2", "two")
		if got := <-changes; got != "two" || v.Get() != "two" {
			t.Errorf("changed to %q, value %q", got, v.Get())
		}
	})
}

func TestFirstReadingFails(t *testing.T) {
	w := New(slog.New(slog.DiscardHandler), nil)
	defer w.Close()
	parse := func([][]byte) (int, error) { return 0, errors.New("not a number") }
	if _, err := Watch(w, Files[int]{Name: "n", Paths: []string{"/nowhere/n"}, Parse: parse}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	path := filepath.Join(t.TempDir(), "n")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Watch(w, Files[int]{Name: "n", Paths: []string{path}, Parse: parse}); err == nil || err.Error() != "n: not a number" {
		t.Errorf("an invalid file: %v", err)
	}
}

// failed is how many failures were counted.
func failed(t *testing.T, w *Watcher) float64 {
	t.Helper()
	var m dto.Metric
	if err := w.failures.WithLabelValues("pair").Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
