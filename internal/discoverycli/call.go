package discoverycli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/clientevents/clientevents/internal/netx"
	"github.com/clientevents/clientevents/internal/terminal"
)

const (
	// requestTimeout bounds a whole call. Google's clients have a timeout of
	// 30 s for the slowest methods.
	requestTimeout = 2 * time.Minute
	// answerLimit bounds an answer in bytes. A thousand jobs with texts of
	// maximum length in four-byte characters fit.
	answerLimit = 1 << 30
)

// call makes the request and writes the answer.
func (p *Program) call(ctx context.Context, in *invocation, r *request, authorize authorizer, w io.Writer) error {
	req, err := p.httpRequest(ctx, r)
	if err != nil {
		return err
	}
	if err := authorize(req); err != nil {
		return interrupted(ctx, fmt.Errorf("Token retrieval failed with error: %w", err))
	}
	debug := in.has(debugOption)
	if debug {
		p.debugRequest(req, r)
	}
	resp, err := p.httpClient().Do(req)
	if err = netx.Final(resp, err); err != nil {
		return interrupted(ctx, fmt.Errorf("The request failed with error: %w", withoutSecrets(err)))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if debug {
		p.debugAnswer(resp, answer)
	}
	switch {
	case err != nil:
		return interrupted(ctx, fmt.Errorf("The answer could not be read: %w", err))
	case len(answer) > answerLimit:
		return fmt.Errorf("The answer is longer than %d bytes", answerLimit)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return apiError(resp, answer)
	}
	return writeAnswer(w, r, answer)
}

// interrupted replaces the error of an interrupted call.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("Interrupted")
	}
	return err
}

func (p *Program) httpRequest(ctx context.Context, r *request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "clientevents-"+p.Name+"/"+p.Version)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// apiError returns the API's error, or a description of another answer.
func apiError(resp *http.Response, answer []byte) error {
	if v, err := decodeJSON(answer); err == nil {
		if text, err := encode(v, ""); err == nil {
			return fmt.Errorf("Bad Request: %s", text)
		}
	}
	text := strings.TrimSpace(string(answer))
	const limit = 2000
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + " …"
	}
	if location := resp.Header.Get("Location"); location != "" {
		text = strings.TrimSpace("Location: " + location + " " + text)
	}
	return fmt.Errorf("Http status indicates failure: %s: %s", resp.Status, cmp.Or(text, "no text"))
}

// writeAnswer formats JSON with sorted keys, indented, without nulls and without a
// newline at the end. It writes an answer in another form unchanged.
func writeAnswer(w io.Writer, r *request, answer []byte) error {
	if r.query.Get("alt") == "json" && !r.query.Has("callback") {
		v, err := decodeJSON(answer)
		if err != nil {
			return fmt.Errorf("%w: %s", err, answer)
		}
		indent := "  "
		if r.query.Get("prettyPrint") == "false" {
			indent = ""
		}
		if answer, err = encode(withoutNulls(v), indent); err != nil {
			return err
		}
		answer = escapeInvisible(answer)
	}
	if _, err := w.Write(answer); err != nil {
		return fmt.Errorf("The answer could not be written: %w", err)
	}
	return nil
}

// escapeInvisible escapes control and format characters in JSON, which can control a
// terminal, or hide or reorder others. The JSON has the same meaning. Its encoder
// escapes the characters below U+0020.
func escapeInvisible(text []byte) []byte {
	invisible := func(r rune) bool { return r >= 0x7f && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) }
	if !bytes.ContainsFunc(text, invisible) {
		return text
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		if !invisible(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.Bytes()
}

func decodeJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // float64 would lose digits of 64-bit numbers
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("unexpected data after the JSON value")
	}
	return v, nil
}

func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, e any) bool { return e == nil })
		for key, e := range v {
			v[key] = withoutNulls(e)
		}
	case []any:
		v = slices.DeleteFunc(v, func(e any) bool { return e == nil })
		for i, e := range v {
			v[i] = withoutNulls(e)
		}
		return v
	}
	return v
}

// secretParams are the query parameters that are credentials.
var secretParams = []string{"access_token", "oauth_token", "key"}

func (p *Program) debugRequest(req *http.Request, r *request) {
	shown := *req.URL
	shown.RawQuery = redactQuery(r.query).Encode()
	fmt.Fprintf(p.Stderr, "> %s %s\n", req.Method, &shown)
	p.debugHeader(">", req.Header)
	p.debugBody(">", r.body)
}

func (p *Program) debugAnswer(resp *http.Response, answer []byte) {
	fmt.Fprintf(p.Stderr, "< %s %s\n", resp.Proto, resp.Status)
	p.debugHeader("<", resp.Header)
	p.debugBody("<", answer)
}

func (p *Program) debugBody(mark string, text []byte) {
	if len(text) == 0 {
		return
	}
	for line := range strings.Lines(strings.TrimSpace(string(text))) {
		fmt.Fprintf(p.Stderr, "%s %s\n", mark, terminal.Printable(strings.TrimSuffix(line, "\n")))
	}
}

func (p *Program) debugHeader(mark string, header http.Header) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, v := range header[name] {
			if name == "Authorization" || name == "Set-Cookie" {
				v = "(not shown)"
			}
			fmt.Fprintf(p.Stderr, "%s %s: %s\n", mark, name, terminal.Printable(v))
		}
	}
}

func redactQuery(query url.Values) url.Values {
	shown := maps.Clone(query)
	for _, name := range secretParams {
		if shown.Has(name) {
			shown[name] = []string{"(not shown)"}
		}
	}
	return shown
}

// withoutSecrets removes the URL's query, which may have secrets, from an error.
func withoutSecrets(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		u, parseErr := url.Parse(failed.URL)
		if parseErr != nil {
			return failed.Err
		}
		u.RawQuery = ""
		return fmt.Errorf("%s %s: %w", strings.ToUpper(failed.Op), u, failed.Err)
	}
	return err
}
