package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/version"
	"github.com/clientevents/clientevents/reporter"
)

func (ch *check) api(ctx context.Context) {
	ch.ok("parent", "%s has the form that %s wants", ch.c.API.Parent, ch.c.API.Version)
	token, quotaProject, ok := ch.credentials(ctx)
	if ok {
		ch.endpoint(ctx, token, quotaProject)
	}
}

// credentials gets a token by the credentials; "" for none.
func (ch *check) credentials(ctx context.Context) (token, quotaProject string, ok bool) {
	const what = "credentials"
	source := tokenSource(ch.c, nil)
	if source == nil {
		ch.note(what, "none: requests are sent without a token", "")
		return "", ch.c.API.QuotaProject, true
	}
	found, err := googleauth.Find(source.From)
	if err != nil {
		ch.fail(what, err.Error(), "mend api.credentials")
		return "", "", false
	}
	quotaProject = cmp.Or(ch.c.API.QuotaProject, found.QuotaProject)
	ch.ok(what, "%s", describe(ctx, source, found, quotaProject))
	got, err := source.TokenOf(ctx, found)
	if err != nil {
		ch.fail("token", err.Error(), tokenAdvice(err, found))
		return "", "", false
	}
	if fault := wrongScope(got); fault != "" {
		ch.fail("token", fault, "log in again with gcloud auth application-default login --scopes="+googleauth.CloudScope+", or give the machine that scope")
		return "", "", false
	}
	ch.ok("token", "given for scope %s%s", googleauth.JobsScope, ends(got))
	return got.AccessToken, quotaProject, true
}

// describe says whose credentials they are, and where they came from.
func describe(ctx context.Context, source *googleauth.Source, c *googleauth.Credentials, quotaProject string) string {
	account := c.Account
	from := "from " + c.File
	if c.Kind == googleauth.Metadata {
		from = "of this machine"
		if email, _, err := source.MetadataAccount(ctx); err == nil {
			account = email
		}
	}
	text := strings.ReplaceAll(string(c.Kind), "_", " ")
	if account != "" {
		text += " " + account
	}
	if text += ", " + from; quotaProject != "" {
		text += ", quota project " + quotaProject
	}
	return text
}

func tokenAdvice(err error, c *googleauth.Credentials) string {
	e, ok := errors.AsType[*googleauth.Error](err)
	switch {
	case !ok:
		return ""
	case e.Skew != 0:
		return "set this machine's clock right (NTP), and try again"
	case e.Result == googleauth.Unavailable:
		return "can this machine reach the token server? Behind a proxy, set HTTPS_PROXY"
	case e.Result == googleauth.Throttled:
		return "try again later"
	case e.Result == googleauth.Unusable:
		return "mend the credentials file"
	case e.Result == googleauth.Invalid:
		return "something in between answers for the token server: look at the network"
	}
	switch c.Kind {
	case google.ServiceAccount:
		return "has the key been deleted or the account disabled? Make a new key (gcloud iam service-accounts keys create)"
	case google.AuthorizedUser:
		return "log in again (gcloud auth application-default login)"
	case google.ExternalAccount, google.ExternalAccountAuthorizedUser:
		return "check the workload identity pool, its provider and the subject token; to act as a service account it needs roles/iam.workloadIdentityUser"
	case google.ImpersonatedServiceAccount:
		return "grant roles/iam.serviceAccountTokenCreator on the service account"
	}
	return "look at the service account of this machine"
}

// wrongScope says whether a token is known to be for something else.
func wrongScope(token *oauth2.Token) string {
	scope, _ := token.Extra("scope").(string)
	scopes := strings.Fields(scope)
	if len(scopes) == 0 || slices.Contains(scopes, googleauth.JobsScope) || slices.Contains(scopes, googleauth.CloudScope) {
		return ""
	}
	return fmt.Sprintf("it is for scope %s, and the API wants %s or %s", strings.Join(scopes, " "), googleauth.JobsScope, googleauth.CloudScope)
}

func ends(token *oauth2.Token) string {
	if token.Expiry.IsZero() {
		return ""
	}
	return ", for " + time.Until(token.Expiry).Round(time.Minute).String()
}

// endpoint sends an event without anything in it to be created. Every version
// refuses that, since its required fields are missing, but only after all else
// was found in order: the path, the token, the project, the permission.
func (ch *check) endpoint(ctx context.Context, token, quotaProject string) {
	what := "endpoint " + ch.c.API.Endpoint
	p := newProber(token, quotaProject)
	defer p.transport.CloseIdleConnections()
	base, err := url.Parse(ch.c.API.Endpoint)
	if err != nil {
		ch.fail(what, err.Error(), "mend api.endpoint")
		return
	}
	base.Path = cmp.Or(base.Path, "/") // what is joined to it would be relative otherwise
	target := base.JoinPath(ch.c.API.Version.String(), ch.c.API.Parent, "clientEvents")
	got, err := p.post(ctx, target, "application/json", emptyEvent(ch.c.API.Version))
	if err != nil {
		t := endpointTrouble(err)
		ch.fail(what, t.says, t.do)
		return
	}
	ch.clock(got)
	if ch.answer(what, got) && ch.c.Report.BatchSize > 1 {
		ch.batches(ctx, p, base.JoinPath("batch"), target.EscapedPath())
	}
}

// endpointTrouble says why there is no HTTP answer from the endpoint.
func endpointTrouble(err error) *trouble {
	if t := tlsTrouble(err, "a file that SSL_CERT_FILE names"); t != nil {
		return t
	}
	said, complains := alert(err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case complains:
		return &trouble{"it ends the TLS connection: " + said, "is api.endpoint right? It may want a client's certificate, of which this program has none"}
	case plain:
		return &trouble{"it does not speak TLS at this port", "use its port for https, or http:// in api.endpoint"}
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // a TLS alert, where http.Transport has no error of its own
		return &trouble{"it speaks TLS at this port", "use https:// in api.endpoint"}
	case hungUp(err):
		return &trouble{"it hangs up without an answer: it may not speak HTTP at this port", "is api.endpoint right? If it is a port for TLS, use https://"}
	}
	t := connectTrouble(err, "api.endpoint")
	if strings.HasSuffix(t.do, "?") {
		t.do += " Behind a proxy, set HTTPS_PROXY"
	} else {
		t.do += "; behind a proxy, set HTTPS_PROXY"
	}
	return t
}

func emptyEvent(v event.Version) string {
	if v == event.V4 {
		return "{}"
	}
	return `{"clientEvent":{}}`
}

// prober sends what the reporter would send, by itself.
type prober struct {
	transport *http.Transport
	header    http.Header
}

func newProber(token, quotaProject string) *prober {
	header := http.Header{}
	reporter.SetHeaders(header, version.UserAgent(), quotaProject)
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return &prober{&http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}, header}
}

// answer is an HTTP answer with the beginning of its body.
type answer struct {
	status string // with its number
	code   int
	header http.Header
	body   []byte
}

func answerOf(resp *http.Response) (*answer, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return &answer{resp.Status, resp.StatusCode, resp.Header, body}, err
}

// says is the answer in a line.
func (a *answer) says() string {
	if e := readAPIError(a.body); e.Message != "" {
		return a.status + ": " + e.Message
	}
	return a.status
}

// refuses says whether it is the answer to an event without content.
func (a *answer) refuses() bool {
	e := readAPIError(a.body)
	return a.code == http.StatusBadRequest && (e.Status == "INVALID_ARGUMENT" || e.Status == "FAILED_PRECONDITION")
}

// post does not follow redirects.
func (p *prober) post(ctx context.Context, to *url.URL, contentType, body string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = p.header.Clone()
	req.Header.Set("Content-Type", contentType)
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	got, _ := answerOf(resp) // what came before it broke off says enough
	return got, nil
}

func (ch *check) clock(got *answer) {
	date, err := http.ParseTime(got.header.Get("Date"))
	if err != nil {
		return
	}
	const tolerated = 5 * time.Minute
	ahead := time.Since(date)
	switch note := googleauth.SkewNote(ahead); {
	case note == "":
		ch.ok("clock", "agrees with the API's")
	case ahead.Abs() < tolerated:
		ch.note("clock", note, "")
	default:
		ch.fail("clock", note, "set it right (NTP): tokens are refused, and events' times are judged, by it")
	}
}

// apiError is a google.rpc.Status as far as check goes by it.
type apiError struct {
	Status, Message string
	Details         []struct {
		Type     string `json:"@type"`
		Reason   string
		Metadata map[string]string
	}
}

func readAPIError(body []byte) apiError {
	var answer struct{ Error apiError }
	_ = json.Unmarshal(body, &answer) // what fits is read; it may not be Google's
	return answer.Error
}

// info is the ErrorInfo of an answer: its reason, and what it is about.
func (e *apiError) info() (reason string, about map[string]string) {
	for _, d := range e.Details {
		if strings.HasSuffix(d.Type, "google.rpc.ErrorInfo") {
			return d.Reason, d.Metadata
		}
	}
	return "", nil
}

// answer says what the answer to an event without content means, and whether it is the
// one that it has to be.
func (ch *check) answer(what string, got *answer) bool {
	said, e := got.says(), readAPIError(got.body)
	reason, about := e.info()
	project := cmp.Or(strings.TrimPrefix(about["consumer"], "projects/"), strings.Split(ch.c.API.Parent, "/")[1])
	switch status := got.code; {
	case got.refuses():
		ch.ok(what, "it takes this program's requests: an event without content was refused, as it has to be")
		return true
	case status == http.StatusUnauthorized:
		ch.fail(what, said, "the token is not taken: are api.credentials for this API, and not set to none?")
	case reason == "SERVICE_DISABLED":
		ch.fail(what, said, "switch the API on: gcloud services enable jobs.googleapis.com --project "+project)
	case reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
		ch.fail(what, said, "the credentials need scope "+googleauth.JobsScope)
	case reason == "BILLING_DISABLED":
		ch.fail(what, said, "switch billing on for project "+project)
	case reason == "USER_PROJECT_DENIED":
		ch.fail(what, said, "grant the account roles/serviceusage.serviceUsageConsumer on the quota project, or set api.quota_project to another")
	case reason == "CONSUMER_INVALID":
		ch.fail(what, said, "the project does not exist: mend api.parent or api.quota_project")
	case status == http.StatusForbidden:
		ch.fail(what, said, "grant the account a role that may create client events on "+ch.c.API.Parent)
	case status == http.StatusNotFound:
		ch.fail(what, said, "does api.parent exist, and does the endpoint serve api.version "+ch.c.API.Version.String()+"?")
	case status == http.StatusTooManyRequests:
		ch.note(what, said, "the quota is used up at the moment: events will wait")
	case status >= 300 && status < 400:
		ch.fail(what, fmt.Sprintf("%s: a redirect to %s, which is not followed", got.status, got.header.Get("Location")), "mend api.endpoint; or something in between wants a person to log in")
	case status >= 500:
		ch.fail(what, said, "try again later; it is the API's fault, or that of something in between")
	case status == http.StatusConflict, status < 300:
		ch.fail(what, said+": an event without content was accepted, so this is not the API", "mend api.endpoint")
	default:
		ch.fail(what, said, "is this the API? See api.endpoint")
	}
	return false
}
