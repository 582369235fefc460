// Package discoverycli is a command line for an API that a discovery document
// describes: a command for every method, its request typed field by field.
//
// It follows the documentation of the google-apis-rs command lines;
// docs/jobs3.md lists the differences.
package discoverycli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/clientevents/clientevents/internal/discovery"
	"github.com/clientevents/clientevents/internal/terminal"
)

// Exit codes of [Program.Run].
const (
	exitDone = 0
	// exitFailed means wrong usage, invalid values, or a failed call.
	exitFailed = 1
	// exitConfigDir means that the configuration directory cannot be used.
	exitConfigDir = 3
	// exitSecret means that the credentials are missing or unreadable.
	exitSecret = 4
)

// Program is one command line tool.
type Program struct {
	// Name is the command's name, and the prefix of its files in the
	// configuration directory.
	Name    string
	Version string
	API     *discovery.API
	// Stdout is for results, Stderr for everything else.
	Stdout, Stderr io.Writer
	// Getenv returns environment variables. This package uses only HOME.
	Getenv func(string) string
}

// exitError is an error with an exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func exitWith(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

func (p *Program) versionLine() string {
	return fmt.Sprintf("%s %s (%s %s, revision %s)", p.Name, p.Version, p.API.Name, p.API.Version, p.API.Revision)
}

// Run runs the command of the arguments (without the program's name) and returns
// the exit code.
func (p *Program) Run(ctx context.Context, args []string) int {
	in, err := p.parse(args)
	if err == nil {
		err = p.execute(ctx, in)
	}
	if err == nil {
		return exitDone
	}
	if info, ok := errors.AsType[infoRequest](err); ok {
		if _, err := io.WriteString(p.Stdout, info.text); err != nil {
			p.complain(err.Error())
			return exitFailed
		}
		return exitDone
	}
	if usage, ok := errors.AsType[*usageError](err); ok {
		fmt.Fprintf(p.Stderr, "error: %s\n\n%s\n\nFor more information try --help\n", usage.message, usage.usage)
		return exitFailed
	}
	if faults, ok := errors.AsType[faultList](err); ok {
		for _, f := range faults {
			p.complain(f.Error())
		}
		fmt.Fprintln(p.Stderr)
		return exitFailed
	}
	p.complain(err.Error())
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.code
	}
	return exitFailed
}

// complain writes a message as one line.
func (p *Program) complain(message string) {
	fmt.Fprintln(p.Stderr, terminal.Printable(message))
}

// faultList has all faults of the values on the command line.
type faultList []error

func (f faultList) Error() string { return errors.Join(f...).Error() }

// execute keeps the order of google-apis-rs: the configuration directory and
// the secret file first, then all values, then the output file, then the call.
func (p *Program) execute(ctx context.Context, in *invocation) error {
	if err := p.missingCommand(in); err != nil {
		return err
	}
	dir, err := p.configDir(in)
	if err != nil {
		return err
	}
	app, err := p.installedApp(in, dir)
	if err != nil {
		return err
	}
	r, faults := p.request(in)
	if len(faults) > 0 {
		return faultList(faults)
	}
	authorize, err := p.authorizer(ctx, in, r, app)
	if err != nil {
		return err
	}
	return p.withOutput(in, func(w io.Writer) error {
		return p.call(ctx, in, r, authorize, w)
	})
}

func (p *Program) missingCommand(in *invocation) error {
	if in.command != nil {
		return nil
	}
	ps := &parser{program: p, groups: commandTree(p.API), in: in}
	fmt.Fprintln(p.Stderr, ps.usage())
	fmt.Fprintln(p.Stderr)
	if in.group == nil {
		return faultList{fault("Please specify the main sub-command.")}
	}
	return faultList{faultf("Please specify the method to call on the '%s' command.", in.group.name)}
}

// request is a call without its authorization.
type request struct {
	method string
	url    *url.URL
	query  url.Values
	// body is nil if the method has none.
	body   []byte
	scopes []string
}

// request builds the call, or returns all faults of the command line.
func (p *Program) request(in *invocation) (*request, []error) {
	c := in.command
	r := &request{method: c.method.HTTPMethod, query: url.Values{"alt": {"json"}}, scopes: in.all(scopeOption)}
	if len(r.scopes) == 0 && len(c.method.Scopes) > 0 {
		r.scopes = c.method.Scopes[:1]
	}
	var faults []error
	if c.method.Request != nil {
		v, wrong := newBody(p.API, c.method.Request).build(in.all(requestOption))
		faults = append(faults, wrong...)
		if len(wrong) == 0 {
			text, err := encode(v, "")
			if err != nil {
				faults = append(faults, err)
			}
			r.body = text
		}
	}
	faults = append(faults, c.setParams(r.query, in.all(paramOption))...)
	path, wrong := c.path(in.words, r.query)
	faults = append(faults, wrong...)
	base, err := p.endpoint(in)
	if err != nil {
		return nil, append(faults, err)
	}
	if err := r.checkPrivacy(in, base); err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	r.url, err = base.Parse(strings.TrimSuffix(base.EscapedPath(), "/") + "/" + path)
	if err != nil {
		return nil, []error{err}
	}
	r.url.RawQuery = r.query.Encode()
	return r, nil
}

// endpoint returns the root of the API, Google's unless --endpoint names another.
func (p *Program) endpoint(in *invocation) (*url.URL, error) {
	text := p.API.RootURL + p.API.ServicePath
	if in.has(endpointOption) {
		text = in.get(endpointOption)
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, faultf("Endpoint -> '%s' is not of the form 'https://<host>[:<port>][/<path>]'.", text)
	}
	return u, nil
}

// httpClient returns a client that follows no redirects, so that only the API receives
// the token.
func (p *Program) httpClient() *http.Client {
	return &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// BuildVersion returns the version of the running program's module, or "devel".
func BuildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
