package check

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
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/netx"
	"github.com/clientevents/clientevents/internal/version"
	"github.com/clientevents/clientevents/reporter/talent"
)

func (ch *check) api(ctx context.Context) {
	ch.ok("parent", "%s has the form of %s", ch.c.API.Parent, ch.c.API.Version)
	token, quotaProject, ok := ch.credentials(ctx)
	if ok {
		ch.endpoint(ctx, token, quotaProject)
	}
}

// credentials gets a token with the credentials; "" without credentials.
func (ch *check) credentials(ctx context.Context) (token, quotaProject string, ok bool) {
	const what = "credentials"
	source := connect.TokenSource(ch.c, ch.o.DialAPI)
	if source == nil {
		ch.note(what, "none: requests are sent without a token", "")
		return "", ch.c.API.QuotaProject, true
	}
	found, err := googleauth.Find(source.From)
	if err != nil {
		ch.fail(what, err.Error(), "correct api.credentials")
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
	ch.ok("token", "received for scope %s%s", googleauth.JobsScope, ends(got))
	return got.AccessToken, quotaProject, true
}

// describe names the account of the credentials and their source.
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
		return "correct this machine's clock (NTP) and try again"
	case e.Result == googleauth.Unavailable:
		return "check the network to the token server; behind a proxy, set HTTPS_PROXY"
	case e.Result == googleauth.Throttled:
		return "try again later"
	case e.Result == googleauth.Unusable:
		return "correct the credentials file"
	case e.Result == googleauth.Invalid:
		return "a proxy or firewall answers instead of the token server: check the network"
	}
	switch c.Kind {
	case google.ServiceAccount:
		return "check whether the key was deleted or the account disabled; create a new key (gcloud iam service-accounts keys create)"
	case google.AuthorizedUser:
		return "log in again (gcloud auth application-default login)"
	case google.ExternalAccount, google.ExternalAccountAuthorizedUser:
		return "check the workload identity pool, its provider and the subject token; to act as a service account it needs roles/iam.workloadIdentityUser"
	case google.ImpersonatedServiceAccount:
		return "grant roles/iam.serviceAccountTokenCreator on the service account"
	}
	return "check the service account of this machine"
}

// wrongScope describes a scope of the token that the API does not accept; "" for none.
func wrongScope(token *oauth2.Token) string {
	scope, _ := token.Extra("scope").(string)
	scopes := strings.Fields(scope)
	if len(scopes) == 0 || slices.Contains(scopes, googleauth.JobsScope) || slices.Contains(scopes, googleauth.CloudScope) {
		return ""
	}
	return fmt.Sprintf("it is for scope %s; the API requires %s or %s", strings.Join(scopes, " "), googleauth.JobsScope, googleauth.CloudScope)
}

func ends(token *oauth2.Token) string {
	if token.Expiry.IsZero() {
		return ""
	}
	return ", for " + time.Until(token.Expiry).Round(time.Minute).String()
}

// endpoint sends an empty event. Every version
// rejects it because required fields are missing, but only after
// it accepted the path, the token, the project and the permission.
func (ch *check) endpoint(ctx context.Context, token, quotaProject string) {
	what := "endpoint " + ch.c.API.Endpoint
	p := newProber(token, quotaProject, ch.o, ch.limits)
	defer p.transport.CloseIdleConnections()
	base, err := url.Parse(ch.c.API.Endpoint)
	if err != nil {
		ch.fail(what, err.Error(), "correct api.endpoint")
		return
	}
	base.Path = cmp.Or(base.Path, "/") // what is joined to it would be relative otherwise
	target := base.JoinPath(ch.c.API.Version.String(), ch.c.API.Parent, "clientEvents")
	got, err := p.post(ctx, target, "application/json", emptyEvent(ch.c.API.Version))
	if err != nil {
		t := endpointTrouble(err, ch.limits)
		ch.fail(what, t.says, t.do)
		return
	}
	ch.clock(got)
	if ch.answer(what, got) && ch.c.Report.BatchSize > 1 {
		ch.batches(ctx, p, base.JoinPath("batch"), target.EscapedPath())
	}
}

// endpointTrouble describes why the endpoint sent no HTTP response.
func endpointTrouble(err error, l limits) *trouble {
	if t := tlsTrouble(err, "a file that SSL_CERT_FILE names"); t != nil {
		return t
	}
	said, complains := alert(err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case complains:
		return &trouble{"it closes the TLS connection: " + said, "check api.endpoint; the server may require a client certificate, which this program does not have"}
	case plain:
		return &trouble{"the port does not serve TLS", "use its port for https, or http:// in api.endpoint"}
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // a TLS alert, where http.Transport has no error of its own
		return &trouble{"the port serves TLS", "use https:// in api.endpoint"}
	case hungUp(err):
		return &trouble{"it closes the connection without a response: the port may not serve HTTP", "check api.endpoint; for a TLS port, use https://"}
	}
	t := connectTrouble(err, l, "api.endpoint")
	t.do += "; behind a proxy, set HTTPS_PROXY"
	return t
}

func emptyEvent(v event.Version) string {
	if v == event.V4 {
		return "{}"
	}
	return `{"clientEvent":{}}`
}

// prober sends single requests in the form of the reporter's.
type prober struct {
	transport *http.Transport
	header    http.Header
	limits    limits
}

func newProber(token, quotaProject string, o Options, l limits) *prober {
	header := http.Header{}
	talent.SetHeaders(header, version.UserAgent(), quotaProject)
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return &prober{&http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: o.DialAPI, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}, header, l}
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

// says returns the answer in one line.
func (a *answer) says() string {
	if e := readAPIError(a.body); e.Message != "" {
		return a.status + ": " + e.Message
	}
	return a.status
}

// refuses reports whether it is the expected rejection of an empty event.
func (a *answer) refuses() bool {
	e := readAPIError(a.body)
	return a.code == http.StatusBadRequest && (e.Status == "INVALID_ARGUMENT" || e.Status == "FAILED_PRECONDITION")
}

// post does not follow redirects.
func (p *prober) post(ctx context.Context, to *url.URL, contentType, body string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.limits.each)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = p.header.Clone()
	req.Header.Set("Content-Type", contentType)
	resp, err := p.transport.RoundTrip(req)
	if err = netx.Final(resp, err); err != nil {
		return nil, err
	}
	got, _ := answerOf(resp) // the part received before an error is enough
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
		ch.fail("clock", note, "correct it (NTP): tokens and event times are checked against it")
	}
}

// apiError is the part of a google.rpc.Status that check reads.
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
	_ = json.Unmarshal(body, &answer) // matching fields are read; the body may not be Google's
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

// answer reports the meaning of the answer to an empty event, and whether it is the
// expected rejection.
func (ch *check) answer(what string, got *answer) bool {
	said, e := got.says(), readAPIError(got.body)
	reason, about := e.info()
	project := cmp.Or(strings.TrimPrefix(about["consumer"], "projects/"), strings.Split(ch.c.API.Parent, "/")[1])
	switch status := got.code; {
	case got.refuses():
		ch.ok(what, "the API rejected an empty event, as expected")
		return true
	case status == http.StatusUnauthorized:
		ch.fail(what, said, "the API does not accept the token: check that api.credentials are for this API and not none")
	case reason == "SERVICE_DISABLED":
		ch.fail(what, said, "enable the API: gcloud services enable jobs.googleapis.com --project "+project)
	case reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
		ch.fail(what, said, "the credentials need scope "+googleauth.JobsScope)
	case reason == "BILLING_DISABLED":
		ch.fail(what, said, "enable billing for project "+project)
	case reason == "USER_PROJECT_DENIED":
		ch.fail(what, said, "grant the account roles/serviceusage.serviceUsageConsumer on the quota project, or set api.quota_project to another")
	case reason == "CONSUMER_INVALID":
		ch.fail(what, said, "the project does not exist: correct api.parent or api.quota_project")
	case status == http.StatusForbidden:
		ch.fail(what, said, "grant the account a role that may create client events on "+ch.c.API.Parent)
	case status == http.StatusNotFound:
		ch.fail(what, said, "does api.parent exist, and does the endpoint serve api.version "+ch.c.API.Version.String()+"?")
	case status == http.StatusTooManyRequests:
		ch.note(what, said, "the quota is used up: events will wait")
	case status >= 300 && status < 400:
		ch.fail(what, fmt.Sprintf("%s: a redirect to %s, which is not followed", got.status, got.header.Get("Location")), "correct api.endpoint; or a proxy requires an interactive login")
	case status >= 500:
		ch.fail(what, said, "try again later; the API or a proxy failed")
	case status == http.StatusConflict, status < 300:
		ch.fail(what, said+": it accepted an empty event, so it is not the API", "correct api.endpoint")
	default:
		ch.fail(what, said, "check that api.endpoint is the API")
	}
	return false
}
