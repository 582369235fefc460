package talent

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/internal/discovery"
)

// dataFile writes a catalog with many pages, and returns its folder and content.
func dataFile(t *testing.T) (dir string, content []byte) {
	t.Helper()
	dir = t.TempDir()
	api, err := discovery.JobsV4()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	v, scope := &Dialect{Version: "v4", API: api, Tenants: true, CompanyName: "company"}, Scope{Project: "p", Tenant: DefaultTenant}
	company, bad := c.CreateCompany(v, scope, Object{"displayName": "Acme", "externalId": "acme"})
	if bad != nil {
		t.Fatal(bad)
	}
	for i := range 60 {
		_, bad := c.CreateJob(v, scope, Object{
			"company": company["name"], "requisitionId": fmt.Sprint(i), "title": "Baker", "languageCode": "en", "description": strings.Repeat("bread ", i*20),
		})
		if bad != nil {
			t.Fatal(bad)
		}
		c.PutEvent(int64(i+1), Object{"raw": "x"})
		if i%10 == 0 {
			c.DropEvent(int64(i))
			if err := c.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return dir, content
}

// A file that is damaged anywhere is opened or refused in one line, never ends
// the process, and is not written to when it is refused.
func TestDamagedFile(t *testing.T) {
	dir, content := dataFile(t)
	path := filepath.Join(dir, fileName)
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for i := range 120 {
		damaged := damage(random, content)
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := Open(Options{Dir: dir})
		if err == nil {
			if err := c.EachEvent(func(int64, []byte) error { return nil }); err != nil {
				t.Logf("%d: %v", i, err)
			}
			c.Jobs()
			c.disk.db.Close()
			continue
		}
		refused++
		if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%d: %v", i, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damaged) {
			t.Errorf("%d: the file was changed, %v", i, err)
		}
	}
	if refused < 30 {
		t.Errorf("only %d of 120 damaged files were refused", refused)
	}
}

// damage returns the content with a few bytes changed, a piece zeroed or copied, or
// the end cut off.
func damage(random *rand.Rand, content []byte) []byte {
	content = bytes.Clone(content)
	at := random.IntN(len(content) - 4096)
	switch random.IntN(5) {
	case 0:
		return content[:1+random.IntN(len(content)-1)]
	case 1:
		clear(content[at : at+1+random.IntN(4096)])
	case 2:
		copy(content[random.IntN(len(content)-4096):], content[at:at+4096])
	case 3: // the beginning of a page, where its structure is
		content[at&^4095+random.IntN(64)] ^= byte(1 << random.IntN(8))
	default:
		for range 1 + random.IntN(20) {
			content[random.IntN(len(content))] ^= byte(1 + random.IntN(255))
		}
	}
	return content
}

func TestFileInOrder(t *testing.T) {
	dir, _ := dataFile(t)
	if err := checkFile(filepath.Join(dir, fileName)); err != nil {
		t.Error(err)
	}
	if err := checkFile(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}
