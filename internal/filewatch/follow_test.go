package filewatch

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestFollow counts the calls for files that change, are incomplete, are replaced by
// others, and cannot be used at once.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		write := func(name, text string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("one", "1")
		write("two", "2")
		var mu sync.Mutex // of the next line
		name, calls, unusable := "one", 0, 0
		set := func(change func()) {
			mu.Lock()
			defer mu.Unlock()
			change()
		}
		w := New(slog.New(slog.DiscardHandler), nil)
		defer w.running.Wait()
		defer w.Close()
		w.Follow(func() []string {
			mu.Lock()
			defer mu.Unlock()
			return []string{filepath.Join(dir, name)}
		}, func() bool {
			mu.Lock()
			defer mu.Unlock()
			calls++
			unusable--
			return unusable > 0
		})
		want := func(n int, reason string) {
			t.Helper()
			time.Sleep(4 * Every)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if calls != n {
				t.Errorf("%s: %d calls, expected %d", reason, calls, n)
			}
		}
		want(0, "nothing changed")
		write("one", "11")
		want(1, "the content changed")
		write("two", "22")
		want(1, "a file that does not matter changed")
		set(func() { name = "two" })
		want(2, "another file matters")
		if err := os.Remove(filepath.Join(dir, "two")); err != nil {
			t.Fatal(err)
		}
		want(3, "the file disappeared")
		set(func() { unusable = 3 })
		write("two", "2")
		want(6, "it could not be used twice")

		time.Sleep(Every - Every/10)
		for i := range 20 { // slowly, over three seconds
			write("two", "2 and more"[:i%10+1])
			time.Sleep(150 * time.Millisecond)
		}
		want(7, "it was being written")
	})
}
