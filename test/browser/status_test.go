package browsertest

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/clientevents/clientevents/emulator"
)

// TestStatusPage goes with one browser through what a person may see on the
// status page, from a replica under load to one that is gone.
func TestStatusPage(t *testing.T) {
	b := startBrowser(t)
	r := newRig(t, 12)
	r.traffic(t)
	p := b.open(t, r.status)
	p.size(1000, 1150, false)

	p.shows("#headline", `^Reporting [\d,.]+ events/s, up to date$`)
	p.shows("#rate", `^\d`)
	p.await("a line in each chart", `['rates', 'lags'].every((id) => /^M.*L/.test(document.querySelector('#' + id + ' path:not(.area)')?.getAttribute('d') ?? ''))`)
	p.await("the slowest eight of twelve partitions", `document.querySelectorAll('#partitions tr').length === 8`)
	p.shows("#more", "Show all 12")
	p.click("#more")
	p.await("all partitions", `document.querySelectorAll('#partitions tr').length === 12`)
	p.click("#more")
	p.await("a dead letter with what it means", `/^malformed not one JSON object/.test([...document.querySelectorAll('#latest .state')].map(e => e.textContent).find(t => t.startsWith('malformed')) ?? '')`)
	p.shows("#live", "^live$")

	// It is live: numbers change without anybody doing something.
	before := eval[string](p, `document.querySelector('#outcomes dd').textContent`)
	p.await("the count of reported events to change", `document.querySelector('#outcomes dd').textContent !== '`+before+`'`)
	if *screenshots != "" {
		p.await("a minute of charts", `samples.length > 30`)
	}

	p.part("light", func(t *testing.T) {
		p.scheme("light")
		p.readable()
		p.noSideways()
		p.screenshot("status-light")
	})
	p.part("dark", func(t *testing.T) {
		p.scheme("dark")
		if ground := eval[string](p, "getComputedStyle(document.body).backgroundColor"); ground != "rgb(20, 25, 26)" {
			t.Errorf("the ground is %s", ground)
		}
		p.readable()
		p.screenshot("status-dark")
	})
	p.part("phone", func(t *testing.T) {
		p.scheme("light")
		for _, width := range []int64{320, 360, 412} {
			p.size(width, 740, true)
			p.noSideways()
		}
		p.size(360, 740, true)
		p.screenshot("status-phone")
		p.size(1000, 1150, false)
	})
	p.shows("#quality-rules", "viewed without having been shown")
	p.click("details summary")
	p.await("the quality of journeys", `document.querySelector('details').open`)
	p.accessible("with traffic")
	p.click("details summary")
	p.part("actions", func(t *testing.T) { actByButton(t, p, r) })
	p.part("policy", func(t *testing.T) { tryPolicy(t, p) })
	p.part("credentials refused", func(t *testing.T) {
		r.api.SetFaults(emulator.Faults{All: emulator.Refuse(401, "")})
		p.shows("#headline", "^Paused: the API refuses the credentials$")
		p.shows("#advice", "api.credentials")
		if level := eval[string](p, "document.querySelector('#summary').dataset.level"); level != "bad" {
			t.Errorf("the level is %s", level)
		}
		p.readable()
		p.do("scroll", "scrollTo(0, 0)")
		p.size(1000, 640, false)
		p.screenshot("status-paused")
		p.accessible("while paused")
		r.api.SetFaults(emulator.Faults{})
		p.shows("#headline", "^Reporting ")
	})
	p.part("quota", func(*testing.T) {
		r.api.SetFaults(emulator.Faults{Latency: 5 * time.Millisecond, Quota: emulator.Quota{Limit: 100, Window: time.Second}})
		p.shows("#api", `events/s, learned`)
		p.shows("#api", `[1-9]\d* % of 10 s, [1-9][\d.]* m?s in all`)
		p.shows("#answers", `HTTP 200 [1-9].*HTTP 401 [1-9].*HTTP 429 [1-9]`)
		p.shows("#detail", `the API's quota, learned to be about \d+/s, holds it up`)
		p.size(1000, 900, false)
		p.do("scroll", "document.querySelector('#partitions').scrollIntoView({block: 'start'})")
		p.readable()
		p.screenshot("status-quota")
		p.size(360, 740, true)
		p.noSideways()
		p.size(1000, 1150, false)
		r.api.SetFaults(emulator.Faults{})
	})
	p.part("gone", func(t *testing.T) {
		p.allow("ERR_CONNECTION_REFUSED|Failed to fetch|ERR_CONNECTION|ERR_EMPTY")
		r.stop()
		p.shows("#live", "no answer for .*: the page is out of date")
		p.shows("#headline", "^Out of date: the replica does not answer$")
		if title := eval[string](p, "document.title"); title != "Out of date: the replica does not answer · clientevents" {
			t.Errorf("the title is %q", title)
		}
	})
}

// actByButton lets a person pause, be refused, and resume.
func actByButton(t *testing.T, p *page, r *rig) {
	if !eval[bool](p, "document.querySelector('#buttons').disabled") {
		t.Error("the buttons work without a token")
	}
	p.allow("401") // the browser says of each refusal that it got one
	p.typeInto("#token", "a wrong token")
	p.click("[data-act=pause]")
	p.shows("#answer", "the token is not that of admin.token_file")
	p.typeInto("#token", token)
	p.allow("^$")

	p.click("[data-act=pause]")
	p.shows("#answer", "Done: pause all")
	p.shows("#headline", "^Paused by an operator: this replica fetches and sends nothing$")
	p.shows("#done-rows tr", "pause all.*127.0.0.1")
	if !r.quiet(t) {
		t.Error("events are reported by a paused replica")
	}
	p.click("[data-act=resume]")
	p.shows("#headline", "^Reporting ")

	p.click("#partitions tr .small") // the slowest one's
	p.shows("#headline", `; partition \d+ paused by an operator$`)
	p.await("the partition to be shown as paused", `[...document.querySelectorAll('#partitions .state')].some((e) => e.textContent.includes('paused by an operator'))`)
	p.do("scroll", "document.querySelector('#actions').scrollIntoView({block: 'end'})")
	p.screenshot("status-actions")
	p.do("click its button again", `[...document.querySelectorAll('#partitions .state')].find((e) => e.textContent.includes('paused by an operator')).querySelector('button').click()`)
	p.shows("#headline", `^Reporting [^;]*$`)

	p.typeInto("#rate-value", "100000")
	p.click("[data-act=rate]")
	p.shows("#admin", "100,000 events/s for another 15 min")
	p.click("[data-act=rate-default]")
	p.await("no override", `!document.querySelector('#admin').textContent.includes('100,000')`)

	if stored := eval[string](p, `JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])`); stored != `[{},{},""]` {
		t.Errorf("the page stores something: %s", stored)
	}
	p.run("reload", chromedp.Reload())
	p.shows("#headline", "^Reporting ")
	if token := eval[string](p, "document.querySelector('#token').value"); token != "" {
		t.Error("the token outlives the page")
	}
}

// quiet reports whether nothing is accepted while the status is asked for twice.
func (r *rig) quiet(t *testing.T) bool {
	t.Helper()
	before := r.api.Stats().Accepted
	deadline := time.NewTimer(500 * time.Millisecond)
	<-deadline.C // nothing can be waited for: it must not come
	return r.api.Stats().Accepted == before
}

// tryPolicy tries what the policy forbids.
func tryPolicy(t *testing.T, p *page) {
	p.allow("elsewhere.invalid|Content Security Policy|TrustedScript|Trusted Type|violates|security")
	for name, attempt := range map[string]string{
		"an inline script": `const s = document.createElement('script'); s.append('window.broken = 1'); document.body.append(s)`,
		"another's image":  `const i = new Image(); i.src = 'https://elsewhere.invalid/x.png'; document.body.append(i)`,
		"another's data":   `fetch('https://elsewhere.invalid/').catch(() => {})`,
		"a style":          `const y = document.createElement('style'); y.textContent = '* { color: red }'; document.head.append(y)`,
		"markup":           `document.body.innerHTML += '<b>x</b>'`,
	} {
		violated := eval[bool](p, `new Promise((done) => {
			document.addEventListener('securitypolicyviolation', () => done(true), { once: true });
			setTimeout(() => done(false), 5000);
			try { `+attempt+` } catch { }
		})`)
		if !violated {
			t.Errorf("the policy lets %s through", name)
		}
	}
	if eval[bool](p, "'broken' in window") {
		t.Error("an inline script ran")
	}
	p.allow("^$")
	p.run("reload", chromedp.Reload())
	p.shows("#headline", "^Reporting ")
}
