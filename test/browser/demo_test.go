package browsertest

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"sync"
	"testing"

	"github.com/clientevents/clientevents/internal/demo"
	"github.com/clientevents/clientevents/test/kafkatest"
)

var demoAddresses = regexp.MustCompile(`status page +(http://\S+) +\(token for its buttons: (\w+)\)\n +Talent API +(http://\S+)`)

// TestDemoPages follows the two addresses that the demo prints.
func TestDemoPages(t *testing.T) {
	b := startBrowser(t)
	ctx, cancel := context.WithCancel(t.Context())
	var out output
	ended := make(chan error, 1)
	go func() { ended <- demo.Run(ctx, demo.Options{Rate: 300, Seed: 1, Out: &out, Err: io.Discard}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the demo does not add up: %v", err)
		}
	})
	var found []string
	kafkatest.WaitFor(t, limit, "the demo to print its addresses", func() bool {
		found = demoAddresses.FindStringSubmatch(out.String())
		return found != nil
	})
	status, token, api := found[1], found[2], found[3]

	p := b.open(t, api)
	p.size(1000, 1000, false)
	p.shows("#headline", `^120 jobs of 6 companies; [\d,]+ events accepted$`)
	p.await("a journey from an impression to an application", nested+`.some((way) => /^impression > view > application/.test(way))`)
	p.await("titles of jobs instead of their names", `/Nurse|Cook|Baker|Teacher/.test(document.querySelector('.what').textContent)`)
	if n := eval[int](p, `document.querySelectorAll('.warning').length`); n != 0 {
		t.Errorf("%d of the demo's events would be discarded", n)
	}
	p.shows("#live", "^live$")
	p.await("some journeys", `journeys.size > 60`)
	p.noSideways()
	p.screenshot("demo-emulator")

	p = b.open(t, status)
	p.shows("#headline", "^(Reporting|Waiting)")
	p.typeInto("#token", token)
	p.click("[data-act=pause]")
	p.shows("#headline", "^Paused by an operator")
	p.click("[data-act=resume]")
	p.shows("#headline", "^(Reporting|Waiting)")
}

// output is read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
