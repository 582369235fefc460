package discoverycli

import (
	"slices"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/internal/discovery"
)

const (
	programUsage = "\n\nUSAGE:\n    jobs3 [OPTIONS] <SUBCOMMAND>\n\nFor more information try --help\n"
	groupUsage   = "\n\nUSAGE:\n    jobs3 projects [OPTIONS] <SUBCOMMAND>\n\nFor more information try --help\n"
	createUsage  = "\n\nUSAGE:\n    jobs3 projects client-events-create [OPTIONS] <parent> -r <kv>...\n\nFor more information try --help\n"
)

func TestUsageErrors(t *testing.T) {
	const create = "projects client-events-create "
	tests := []struct{ line, want string }{
		{create, "error: The following required arguments were not provided:\n    <parent>\n    -r <kv>..." + createUsage},
		{create + "projects/p", "error: The following required arguments were not provided:\n    -r <kv>..." + createUsage},
		{create + "-r a=b projects/p", "error: The following required arguments were not provided:\n    <parent>" + createUsage},
		{create + "-r a=b -p key=x projects/p", "error: The following required arguments were not provided:\n    <parent>" + createUsage},
		{create + "projects/p -r", "error: The argument '-r <kv>...' requires a value but none was supplied" + createUsage},
		{create + "projects/p -r -o x", "error: The argument '-r <kv>...' requires a value but none was supplied" + createUsage},
		{create + "projects/p -r --", "error: The argument '-r <kv>...' requires a value but none was supplied" + createUsage},
		{create + "projects/p -r=", "error: The argument '-r <kv>...' requires a value but none was supplied" + createUsage},
		{create + "projects/p -r ''", "error: The argument '-r <kv>...' requires a value but none was supplied" + createUsage},
		{create + "projects/p -r a=b ''", "error: The argument '-r <kv>...' requires a value but none was supplied" + createUsage},
		{create + "'' -r a=b", "error: The argument '<parent>' requires a value but none was supplied" + createUsage},
		{create + "projects/p -r a=b -p", "error: The argument '-p <v>...' requires a value but none was supplied" + createUsage},
		{create + "projects/p -r a=b -o", "error: The argument '-o <out>' requires a value but none was supplied" + createUsage},
		{create + "projects/p -r -5=3", "error: Found argument '-5' which wasn't expected, or isn't valid in this context" + createUsage},
		{create + "projects/p -r a=b -5=3", "error: Found argument '-5' which wasn't expected, or isn't valid in this context" + createUsage},
		{create + "projects/p -o a -r a=b -o b", "error: The argument '-o <out>' was provided more than once, but cannot be used multiple times" + createUsage},
		{create + "projects/p extra -r a=b", "error: Found argument 'extra' which wasn't expected, or isn't valid in this context" + createUsage},
		{create + "projects/p -r=a=b extra", "error: Found argument 'extra' which wasn't expected, or isn't valid in this context" + createUsage},
		{create + "projects/p -r a=b -- extra", "error: Found argument 'extra' which wasn't expected, or isn't valid in this context" + createUsage},
		{create + "projects/p -x", "error: Found argument '-x' which wasn't expected, or isn't valid in this context" + createUsage},
		{create + "--debgu projects/p", "error: Found argument '--debgu' which wasn't expected, or isn't valid in this context\n\tDid you mean --debug?" + createUsage},
		{create + "--zzz=1 projects/p", "error: Found argument '--zzz' which wasn't expected, or isn't valid in this context" + createUsage},
		{"--scope", "error: The argument '--scope <url>...' requires a value but none was supplied" + programUsage},
		{"--scope --debug projects", "error: The argument '--scope <url>...' requires a value but none was supplied" + programUsage},
		{"--config-dir ''", "error: The argument '--config-dir <folder>' requires a value but none was supplied" + programUsage},
		{"--config-dir a --config-dir b projects", "error: The argument '--config-dir <folder>' was provided more than once, but cannot be used multiple times" + programUsage},
		{"--debug --debug", "error: The argument '--debug' was provided more than once, but cannot be used multiple times" + programUsage},
		{"--debug=1", "error: The argument '--debug' takes no value but one was given" + programUsage},
		{"project", "error: The subcommand 'project' wasn't recognized\n\tDid you mean 'projects'?\n\nIf you believe you received this message in error, try re-running with 'jobs3 -- project'" + programUsage},
		{"nonsense", "error: Found argument 'nonsense' which wasn't expected, or isn't valid in this context" + programUsage},
		{"-- projects", "error: Found argument 'projects' which wasn't expected, or isn't valid in this context" + programUsage},
		{"-r a=b", "error: Found argument '-r' which wasn't expected, or isn't valid in this context" + programUsage},
		{"projects client-event-create", "error: The subcommand 'client-event-create' wasn't recognized\n\tDid you mean 'client-events-create'?\n\nIf you believe you received this message in error, try re-running with 'jobs3 projects -- client-event-create'" + groupUsage},
		{"projects nonsense", "error: Found argument 'nonsense' which wasn't expected, or isn't valid in this context" + groupUsage},
		{"help nonsense", "error: The subcommand 'nonsense' wasn't recognized" + programUsage},
		{"help projects nonsense", "error: The subcommand 'nonsense' wasn't recognized" + groupUsage},
		{"projects jobs-get projects/p/jobs/j -r a=b", "error: Found argument '-r' which wasn't expected, or isn't valid in this context\n\nUSAGE:\n    jobs3 projects jobs-get [OPTIONS] <name>\n\nFor more information try --help\n"},
		{"projects \xff", "error: Invalid UTF-8 was detected in one or more arguments" + programUsage},
		{"", "USAGE:\n    jobs3 [OPTIONS] <SUBCOMMAND>\n\nPlease specify the main sub-command.\n\n"},
		{"--debug", "USAGE:\n    jobs3 [OPTIONS] <SUBCOMMAND>\n\nPlease specify the main sub-command.\n\n"},
		{"projects", "USAGE:\n    jobs3 projects [OPTIONS] <SUBCOMMAND>\n\nPlease specify the method to call on the 'projects' command.\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			got := jobs3(t).run(t, words(tt.line)...)
			if got != (result{1, "", tt.want}) {
				t.Errorf("exit code %d, stdout %q, stderr:\n%s\nwant:\n%s", got.code, got.stdout, got.stderr, tt.want)
			}
		})
	}
}

// words splits a line; two single quotes are an empty word.
func words(line string) []string {
	w := strings.Fields(line)
	for i := range w {
		if w[i] == "''" {
			w[i] = ""
		}
	}
	return w
}

func TestGrammar(t *testing.T) {
	const create = "projects client-events-create "
	tests := []struct {
		line                      string
		words                     []string
		requests, params, scopes  []string
		out, endpoint, configured string
	}{
		{line: create + "P -r a=1 b c=2 -p x=1 y=2", words: []string{"P"}, requests: []string{"a=1", "b", "c=2"}, params: []string{"x=1", "y=2"}},
		{line: create + "P -r a=1 -p x=1 -r b=2 -p y=2", words: []string{"P"}, requests: []string{"a=1", "b=2"}, params: []string{"x=1", "y=2"}},
		{line: create + "P -ra=1", words: []string{"P"}, requests: []string{"a=1"}},
		{line: create + "P -ra=1 b=2", words: []string{"P"}, requests: []string{"a=1", "b=2"}},
		{line: create + "-r=a=1 P", words: []string{"P"}, requests: []string{"a=1"}},
		{line: create + "P -r event-id=-5", words: []string{"P"}, requests: []string{"event-id=-5"}},
		{line: create + "P -r a=1,b=2", words: []string{"P"}, requests: []string{"a=1,b=2"}},
		{line: create + "P -r - .. ...", words: []string{"P"}, requests: []string{"-", "..", "..."}},
		{line: create + "-r a=1 -o out P", words: []string{"P"}, requests: []string{"a=1"}, out: "out"},
		{line: create + "-r a=1 -- P", words: []string{"P"}, requests: []string{"a=1"}},
		{line: create + "-r a=1 -- -P", words: []string{"-P"}, requests: []string{"a=1"}},
		{line: create + "P -r a=1 -o -", words: []string{"P"}, requests: []string{"a=1"}, out: "-"},
		{line: create + "P -r a=1 -oout", words: []string{"P"}, requests: []string{"a=1"}, out: "out"},
		{line: "--scope S " + create + "P -r a=1", words: []string{"P"}, requests: []string{"a=1"}, scopes: []string{"S"}},
		{line: "--scope=S --scope T " + create + "P -r a=1", words: []string{"P"}, requests: []string{"a=1"}, scopes: []string{"S", "T"}},
		{line: "--config-dir D --endpoint E " + create + "P -r a=1", words: []string{"P"}, requests: []string{"a=1"}, endpoint: "E", configured: "D"},
		{line: create + "P -r a=1 --endpoint E --config-dir=D", words: []string{"P"}, requests: []string{"a=1"}, endpoint: "E", configured: "D"},
		{line: "projects jobs-delete N", words: []string{"N"}},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			in, err := jobs3(t).program.parse(words(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			check := func(what string, got, want []string) {
				if !slices.Equal(got, want) {
					t.Errorf("%s %q, want %q", what, got, want)
				}
			}
			check("words", in.words, tt.words)
			check("-r", in.all(requestOption), tt.requests)
			check("-p", in.all(paramOption), tt.params)
			check("--scope", in.all(scopeOption), tt.scopes)
			check("-o, --endpoint, --config-dir", []string{in.get(outOption), in.get(endpointOption), in.get(configOption)}, []string{tt.out, tt.endpoint, tt.configured})
		})
	}
}

func TestHelp(t *testing.T) {
	tests := []struct {
		lines []string
		want  []string
	}{
		{
			[]string{"--help", "-h", "help", "--debug --help", "-hx"},
			[]string{"USAGE:\n    jobs3 [OPTIONS] <SUBCOMMAND>\n", "--scope <url>...", "--config-dir <folder>", "--debug", "--endpoint <url>", "--credentials <file>", "    projects\n", "jobs-search-for-alert"},
		},
		{
			[]string{"projects --help", "projects -h", "projects help", "help projects"},
			[]string{"USAGE:\n    jobs3 projects [OPTIONS] <SUBCOMMAND>\n", "    client-events-create\n            Report events issued when", "    complete\n"},
		},
		{
			[]string{"projects client-events-create --help", "projects client-events-create -h", "projects client-events-create P -r a=b -h", "projects help client-events-create", "help projects client-events-create"},
			[]string{
				"USAGE:\n    jobs3 projects client-events-create [OPTIONS] <parent> -r <kv>...\n",
				"<parent>\n            projects/<project>: Parent project name.\n",
				"-r <kv>...", "-p <v>...", "-o <out>", "--endpoint <url>",
				"https://www.googleapis.com/auth/cloud-platform\n    https://www.googleapis.com/auth/jobs\n",
				"    " + strings.ReplaceAll(strings.TrimSpace(documentedStructure), "\n", "\n    ") + "\n",
				"CURSOR:", "... goes three levels up",
				"client-event.job-event.type\n            Required. The type of the event (see JobEventType). One of: JOB_EVENT_TYPE_UNSPECIFIED,",
				"$-xgafv=string\n", "pretty-print=boolean\n", "upload-protocol=string\n",
			},
		},
		{
			[]string{"projects jobs-search -h"},
			[]string{"location-filters.<n>:\n", "enable-broadening: boolean\n", "page-size: integer\n", "distance-in-miles: number\n", "keywords"},
		},
		{
			[]string{"projects jobs-create -h"},
			[]string{"custom-attributes.<key>:\n", "long-values: [integer]\n", "string-values: [string]\n", "Each one of: JOB_BENEFIT_UNSPECIFIED"},
		},
		{[]string{"projects companies-list -h"}, []string{"page-size=integer\n", "require-open-jobs=boolean\n"}},
		{
			[]string{"--version", "-V", "projects -V", "projects client-events-create --version"},
			[]string{"jobs3 test (jobs v3, revision 20251014)\n"},
		},
	}
	for _, tt := range tests {
		first := jobs3(t).run(t, words(tt.lines[0])...).stdout
		for _, want := range tt.want {
			if !strings.Contains(first, want) {
				t.Errorf("%s: no %q in:\n%s", tt.lines[0], want, first)
			}
		}
		for _, line := range tt.lines {
			if got := jobs3(t).run(t, words(line)...); got != (result{0, first, ""}) {
				t.Errorf("%s: exit code %d, stderr %q, or not the help of %q", line, got.code, got.stderr, tt.lines[0])
			}
		}
	}
}

// TestEveryCommandHasHelp also covers structures that contain themselves, which only
// some documents have.
func TestEveryCommandHasHelp(t *testing.T) {
	for name, parse := range map[string]func() (*discovery.API, error){"jobs3": discovery.JobsV3, "jobs4": discovery.JobsV4} {
		r := newRunner(t, parse, name)
		for _, g := range commandTree(r.program.API) {
			for _, c := range g.commands {
				got := r.run(t, g.name, c.name, "--help")
				usage := "    " + name + " " + g.name + " " + c.name + " [OPTIONS] <"
				if got.code != 0 || !strings.Contains(got.stdout, usage) || !strings.Contains(got.stdout, "alt=string") {
					t.Errorf("%s %s %s: exit code %d\n%s", name, g.name, c.name, got.code, got.stdout)
				}
				if hasBody := strings.Contains(got.stdout, "REQUEST VALUE"); hasBody != (c.method.Request != nil) {
					t.Errorf("%s %s: request value in the help: %v", name, c.name, hasBody)
				}
			}
		}
	}
}

func TestRecursiveStructures(t *testing.T) {
	api, err := discovery.Parse([]byte(`{"name":"x","version":"v1","rootUrl":"https://x/","resources":{"r":{"methods":{"m":{"id":"x.m","httpMethod":"POST","path":"m","request":{"$ref":"S"}}}}},
		"schemas":{"S":{"id":"S","type":"object","properties":{"down":{"$ref":"S"},"name":{"type":"string"},"more":{"type":"array","items":{"$ref":"S"}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, func() (*discovery.API, error) { return api, nil }, "x")
	if got := r.run(t, "r", "m", "--help"); got.code != 0 || !strings.Contains(got.stdout, "down:\n") {
		t.Errorf("%+v", got)
	}
	server := newAPIServer(t, 200, "{}")
	if got := r.run(t, "--endpoint", server.URL, "r", "m", "-r", "down.down.more.0.name=n", "name=m"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if got, want := server.only(t).body, `{"down":{"down":{"more":[{"name":"n"}]}},"name":"m"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzParse checks that every command line succeeds or returns an error.
func FuzzParse(f *testing.F) {
	api := jobsV3(f)
	for _, line := range []string{"projects\nclient-events-create\nprojects/p\n" + strings.ReplaceAll(documentedArgs, " ", "\n"), "--scope\nx\n-h", "-ra", "--", "-", "help\nprojects", "projects\njobs-list\nprojects/p\n-p\nfilter=a\n-o=-"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p := &Program{Name: "jobs3", API: api, Getenv: func(string) string { return "" }}
		in, err := p.parse(strings.Split(line, "\n"))
		switch err := err.(type) { //nolint:errorlint // parse gives these types unwrapped
		case nil:
			if in.command != nil {
				if r, faults := p.request(in); (r == nil) == (len(faults) == 0) {
					t.Errorf("request %v with faults %v", r, faults)
				}
			}
		case infoRequest:
			if err.text == "" {
				t.Error("no text")
			}
		case *usageError:
			if err.message == "" || err.usage == "" {
				t.Errorf("%+v", err)
			}
		default:
			t.Errorf("unexpected error %v", err)
		}
	})
}
