package browsertest

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "write screenshots into this `folder`")

// limit is how long a page may take for what is waited for.
const limit = 60 * time.Second

// findChromium skips the test where there is none; with BROWSER_REQUIRED=1, as
// in CI, that is a failure.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	const want = "no chromium here: install it (Debian: chromium), or name it in CHROMIUM"
	if os.Getenv("BROWSER_REQUIRED") == "1" {
		t.Fatal(want)
	}
	t.Skip(want)
	return ""
}

// browser is a running Chromium.
type browser struct{ ctx context.Context }

func startBrowser(t *testing.T) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findChromium(t)),
		chromedp.NoSandbox, // CI's container has no other user
		chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeAll := chromedp.NewContext(allocator)
	t.Cleanup(closeAll)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", findChromium(t), err)
	}
	return &browser{ctx}
}

// page is a tab. Whatever it complains about, and whatever it asks of another
// server than its own, fails the test.
type page struct {
	t      *testing.T // the test under way
	whole  *testing.T // it, or the one that it is a part of
	ctx    context.Context
	origin string

	mu      sync.Mutex
	allowed *regexp.Regexp // complaints that are expected
}

func (b *browser) open(t *testing.T, origin string) *page {
	t.Helper()
	p := &page{t: t, whole: t, origin: origin}
	ctx, stop := chromedp.NewContext(b.ctx, chromedp.WithListener(p.listen))
	t.Cleanup(stop)
	p.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as this context
		t.Fatalf("open a tab: %v", err)
	}
	p.run("open "+origin, chromedp.Navigate(origin+"/"))
	return p
}

func (p *page) listen(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
			p.complain("console: %s", consoleText(ev.Args))
		}
	case *runtime.EventExceptionThrown:
		p.complain("exception: %s", exceptionText(ev.ExceptionDetails))
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			p.complain("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if url := ev.Request.URL; !strings.HasPrefix(url, p.origin+"/") && url != "about:blank" {
			p.complain("a request to another server: %s", url)
		}
	}
}

func (p *page) complain(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.allowed == nil || !p.allowed.MatchString(text) {
		p.whole.Errorf("the page complains: %s", text)
	}
}

// part runs a part of the test.
func (p *page) part(name string, f func(t *testing.T)) {
	p.whole.Run(name, func(t *testing.T) {
		p.t = t
		defer func() { p.t = p.whole }()
		f(t)
	})
}

// allow expects complaints from now on.
func (p *page) allow(pattern string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = regexp.MustCompile(pattern)
}

type step = chromedp.Action[chromedp.Void]

func (p *page) run(what string, steps ...step) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// do evaluates what has no value that matters.
func (p *page) do(what, expression string) {
	p.t.Helper()
	p.run(what, chromedp.Evaluate[chromedp.Void]("void ("+expression+")"))
}

// eval evaluates an expression of JavaScript.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// await waits until an expression is true.
func (p *page) await(what, expression string) {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !eval[bool](p, "!!("+expression+")") {
		if <-tick.C; time.Now().After(deadline) {
			p.t.Fatalf("gave up waiting for %s; the page shows:\n%s", what, eval[string](p, "document.body.innerText"))
		}
	}
}

// shows waits for a text, a regular expression, in an element.
func (p *page) shows(selector, pattern string) {
	p.t.Helper()
	p.await(fmt.Sprintf("%s to show %s", selector, pattern),
		fmt.Sprintf("new RegExp(%q).test(document.querySelector(%q)?.textContent ?? '')", pattern, selector))
}

func (p *page) click(selector string) {
	p.t.Helper()
	p.run("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

func (p *page) typeInto(selector, text string) {
	p.t.Helper()
	p.do("empty "+selector, fmt.Sprintf("document.querySelector(%q).value = ''", selector))
	p.run("type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// size sets the size of the window; mobile makes it a phone's.
func (p *page) size(width, height int64, mobile bool) {
	p.t.Helper()
	options := []chromedp.EmulateViewportOption{}
	if mobile {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateScale(2))
	}
	p.run("resize", chromedp.EmulateViewport(width, height, options...))
}

// scheme sets what the person prefers: "light" or "dark".
func (p *page) scheme(scheme string) {
	p.t.Helper()
	p.run("scheme", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// noSideways wants the page to fit the width of the window.
func (p *page) noSideways() {
	p.t.Helper()
	width, content := eval[int](p, "innerWidth"), eval[int](p, "document.documentElement.scrollWidth")
	if content > width {
		wide := eval[string](p, `[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll')).map(e => e.tagName + '.' + e.className + '#' + e.id).slice(0, 5).join(' ')`)
		p.t.Errorf("the page is %d wide in a window of %d: %s", content, width, wide)
	}
}

// contrast is a function of JavaScript: the least contrast of text to its
// ground (WCAG 2, 1.4.3) among the elements that hold text, and which has it.
const contrast = `(() => {
	const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
	const lum = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
	let least = { ratio: 99, where: '' };
	for (const e of document.querySelectorAll('body *')) {
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility() || e.closest('fieldset:disabled') || e.closest('noscript')) continue;
		let ground = null;
		for (let a = e; a; a = a.parentElement) { const c = parse(getComputedStyle(a).backgroundColor); if (c[3] > 0) { ground = c; break; } }
		const a = lum(parse(getComputedStyle(e).color)), b = lum(ground ?? [255, 255, 255]);
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		if (ratio < least.ratio) least = { ratio, where: e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 30) };
	}
	return least;
})()`

// readable wants every text to stand out from its ground.
func (p *page) readable() {
	p.t.Helper()
	least := eval[struct {
		Ratio float64
		Where string
	}](p, contrast)
	if least.Ratio < 4.5 {
		p.t.Errorf("a text has a contrast of %.1f to its ground, want 4.5 or more: %s", least.Ratio, least.Where)
	}
}

// screenshot writes a picture of the page for the documents, where that is
// wanted.
func (p *page) screenshot(name string) {
	p.t.Helper()
	if *screenshots == "" {
		return
	}
	shot, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatalf("screenshot: %v", err)
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		p.t.Fatal(err)
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, fewColours(picture)); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), b.Bytes(), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// fewColours keeps 256 colours, which for a page is nearly all of it, and a third of
// the size: the most frequent ones that can be told apart.
func fewColours(picture image.Image) image.Image {
	bounds := picture.Bounds()
	often := map[color.RGBA]int{}
	flat := image.NewRGBA(bounds)
	draw.Draw(flat, bounds, picture, bounds.Min, draw.Src)
	for i := 0; i < len(flat.Pix); i += 4 {
		often[color.RGBA{flat.Pix[i], flat.Pix[i+1], flat.Pix[i+2], 255}]++
	}
	all := make([]color.RGBA, 0, len(often))
	for c := range often {
		all = append(all, c)
	}
	sortBy(all, func(c color.RGBA) int { return -often[c] })
	palette := color.Palette{}
	for _, c := range all {
		if len(palette) < 256 && !slices.ContainsFunc(palette, func(p color.Color) bool { return alike(c, p.(color.RGBA)) }) {
			palette = append(palette, c)
		}
	}
	small := image.NewPaletted(bounds, palette)
	nearest := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := flat.RGBAAt(x, y)
			i, ok := nearest[c]
			if !ok {
				i = uint8(palette.Index(c))
				nearest[c] = i
			}
			small.SetColorIndex(x, y, i)
		}
	}
	return small
}

// alike reports whether two colours can hardly be told apart.
func alike(a, b color.RGBA) bool {
	near := func(x, y uint8) bool { return max(x, y)-min(x, y) < 5 }
	return near(a.R, b.R) && near(a.G, b.G) && near(a.B, b.B)
}

func exceptionText(d *runtime.ExceptionDetails) string {
	if d.Exception != nil {
		return d.Text + " " + d.Exception.Description
	}
	return d.Text
}

func consoleText(args []*runtime.RemoteObject) string {
	var texts []string
	for _, a := range args {
		texts = append(texts, string(a.Value)+a.Description)
	}
	return strings.Join(texts, " ")
}
