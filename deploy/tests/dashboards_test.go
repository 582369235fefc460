package tests

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/googleauth"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql/parser"
)

const grafanaDir = "../grafana"

// dashboard is what matters here of Grafana's model.
type dashboard struct {
	UID, Title, Description string
	Panels                  []panel
	Links                   []link
	Templating              struct {
		List []struct{ Name, Type string }
	}
}

type panel struct {
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct {
		Defaults struct {
			Unit     string
			Mappings []struct {
				Options map[string]struct{ Text string }
			}
		}
	}
	Targets []struct{ Expr, LegendFormat string }
	Links   []link
}

type link struct{ URL string }

func dashboards(t testing.TB) (all []dashboard) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(grafanaDir, "*.json"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d dashboards, %v: want three", len(files), err)
	}
	for _, file := range files {
		var d dashboard
		if err := json.Unmarshal(read(t, file), &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, d)
	}
	return all
}

// asked replaces a dashboard's variables as Grafana does with all of them chosen.
func asked(expr string) string {
	return strings.NewReplacer(`"$namespace"`, `".*"`, `"$instance"`, `".+"`, `"$job"`, `".+"`,
		"$__rate_interval", "5s", "$__range", "30s").Replace(expr)
}

// TestDashboardsAreGenerated wants the files to be what the generator writes.
func TestDashboardsAreGenerated(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "run", "./deploy/grafana", "-out", dir)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, file := range files {
		if name := filepath.Base(file); string(read(t, file)) != string(read(t, filepath.Join(grafanaDir, name))) {
			t.Errorf("deploy/grafana/%s is not what the generator writes: make dashboards", name)
		}
	}
}

// TestDashboardsForPeople wants each panel to say what it shows, in what unit,
// and where to read on.
func TestDashboardsForPeople(t *testing.T) {
	known := map[string]bool{}
	for _, page := range []string{"runbook.md", "operations.md"} {
		for _, section := range sectionsOf(t, "../../docs/"+page) {
			known[docsBase+page+"#"+section] = true
		}
	}
	for _, d := range dashboards(t) {
		var names []string
		for _, v := range d.Templating.List {
			names = append(names, v.Name)
		}
		for _, want := range []string{"datasource", "namespace", "group"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s has no variable %s", d.Title, want)
			}
		}
		if d.UID == "" || d.Description == "" || len(d.Links) == 0 {
			t.Errorf("%s lacks a uid, a description or links", d.Title)
		}
		taken := map[[2]int]string{}
		for _, p := range d.Panels {
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if other := taken[at]; other != "" || at[0] >= 24 {
						t.Fatalf("%s: %s lies over %q at %v", d.Title, p.Title, other, at)
					}
					taken[at] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
				t.Errorf("%s: %q lacks a description, a unit or a query", d.Title, p.Title)
			}
			if len(p.Links) != 1 || !known[p.Links[0].URL] {
				t.Errorf("%s: %q has no link to a section of the runbook or of operations.md", d.Title, p.Title)
			}
		}
	}
}

// TestServiceDashboard: the first panels are throughput and the dead-letter share, and
// panels of states name them.
func TestServiceDashboard(t *testing.T) {
	var titles []string
	named := map[string]string{}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			if d.UID == "clientevents-service" && p.Type != "row" {
				titles = append(titles, p.Title)
			}
			for _, m := range p.FieldConfig.Defaults.Mappings {
				named[p.Title] = m.Options["0"].Text + ", " + m.Options["1"].Text
			}
		}
	}
	if want := []string{"Throughput", "Dead-letter share"}; !slices.Equal(titles[:2], want) {
		t.Errorf("Service begins with %q, expected %q", titles[:2], want)
	}
	for title, want := range map[string]string{
		"Problems": "no problem, ", "Active pauses": "sending, paused", "Pauses": "sending, paused", "Replicas": "not ready, ready",
	} {
		if named[title] != want {
			t.Errorf("the states of panel %q are %q, expected %q", title, named[title], want)
		}
	}
}

// expressions are all that there are, by where they are.
func expressions(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, r := range rules(t) {
		all[r.Alert+r.Record] = r.Expr
	}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for i, q := range p.Targets {
				all[d.Title+": "+p.Title+" "+strconv.Itoa(i)] = asked(q.Expr)
			}
		}
	}
	return all
}

var typeLine = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)

// metricsOf are the names that a running replica's series may have.
func metricsOf(t *testing.T, address string) map[string]bool {
	t.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range typeLine.FindAllSubmatch(text, -1) {
		switch name := string(m[1]); string(m[2]) {
		case "histogram":
			names[name+"_bucket"] = true
			fallthrough
		case "summary":
			names[name+"_sum"], names[name+"_count"] = true, true
		default:
			names[name] = true
		}
	}
	return names
}

// TestRuleAndDashboardExpressions parses every expression, and wants each metric
// in it to be one that the program has, or one that is recorded.
func TestRuleAndDashboardExpressions(t *testing.T) {
	p := newPlant(t, "names", 0)
	// Metrics of the input are there where it is configured.
	p.config.Input.Format, p.config.Input.Registry.URL, p.config.Input.Mapping = "avro", "http://127.0.0.1:1", "."
	p.config.Input.Registry.CAFile = authority(t)
	address := p.run(t)
	var known map[string]bool
	await(t, time.Minute, "partitions to have series", func() bool {
		known = metricsOf(t, address)
		return known["clientevents_consumer_lag"] && known["clientevents_source_retention_seconds"]
	})
	for _, name := range append(brokerLoginMetrics(t), watchedFileMetrics(t)...) {
		known[name] = true
	}
	for _, r := range rules(t) {
		known[r.Record] = true
	}
	for _, doc := range []string{runbook, "../../docs/operations.md", "../../docs/admin.md", "../../docs/delivery.md", "../../CHANGELOG.md"} {
		for _, name := range namedMetrics(read(t, doc)) {
			if !known[name] && !known[name+"_count"] {
				t.Errorf("%s names %s, and there is no such metric", doc, name)
			}
		}
	}
	parse := parser.NewParser(parser.Options{})
	all := expressions(t)
	for _, where := range slices.Sorted(maps.Keys(all)) {
		expr, err := parse.ParseExpr(all[where])
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if v, ok := n.(*parser.VectorSelector); ok && !known[v.Name] {
				t.Errorf("%s: there is no metric %q", where, v.Name)
			}
			return nil
		})
	}
}

// authority writes a certificate into a file and returns its path.
func authority(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var metricName = regexp.MustCompile(`\bclientevents_[a-z_]+[a-z]\b`)

// namedMetrics are the metrics that a text names.
func namedMetrics(text []byte) (names []string) {
	for _, name := range metricName.FindAll(text, -1) {
		names = append(names, string(name))
	}
	return names
}

// brokerLoginMetrics are the names of what a replica has only where it logs in to
// brokers with Google credentials.
func brokerLoginMetrics(t *testing.T) (names []string) {
	t.Helper()
	registry := client.NewRegistry()
	keeper := googleauth.NewKeeper(googleauth.KeeperConfig{Broker: true, Registerer: registry})
	defer keeper.Close()
	return namesIn(t, registry)
}

// watchedFileMetrics are the names of what a replica has only where files hold its
// secrets.
func watchedFileMetrics(t *testing.T) []string {
	t.Helper()
	registry := client.NewRegistry()
	watcher := filewatch.New(slog.New(slog.DiscardHandler), registry)
	defer watcher.Close()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	files := filewatch.Files[string]{Name: "secret", Paths: []string{path}, Parse: func([][]byte) (string, error) { return "", nil }}
	if _, err := filewatch.Watch(watcher, files); err != nil {
		t.Fatal(err)
	}
	return namesIn(t, registry)
}

func namesIn(t *testing.T, registry *client.Registry) (names []string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil || len(families) == 0 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	for _, f := range families {
		names = append(names, f.GetName())
	}
	return names
}

// TestDashboardsShowSomething runs two replicas under load, with some of every
// fault, and wants every panel of every dashboard to show something in a real
// Prometheus.
func TestDashboardsShowSomething(t *testing.T) {
	tool(t, "prometheus")
	p := newPlant(t, "load", 20*time.Second)
	p.api.SetFaults(emulator.Faults{
		Latency: 5 * time.Millisecond, Jitter: 20 * time.Millisecond,
		ErrorShares: map[int]float64{400: .005, 500: .005, 503: .002},
		Quota:       emulator.Quota{Limit: 300},
	})
	p.traffic(t, 300)
	first, second := p.run(t), freeAddress(t)
	path, err := filepath.Abs(filepath.Join(rulesDir, ruleFile))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	prom := startPrometheus(t, path, target{"clientevents", first + "," + second})
	owned := func(replicas int) func() bool {
		return func() bool {
			lines, err := prom.between(`min_over_time(clientevents_assigned_partitions[3s]) > 0`, time.Now().Add(-time.Second), time.Now())
			return err == nil && len(lines) == replicas
		}
	}
	await(t, time.Minute, "the first replica to have partitions", owned(1))
	p.runAt(t, second) // which makes a rebalance
	await(t, time.Minute, "both replicas to have partitions", owned(2))
	const limit = 30 * time.Second
	for _, d := range dashboards(t) {
		for _, panel := range d.Panels {
			for _, q := range panel.Targets {
				await(t, limit, d.Title+": "+panel.Title+": "+q.Expr+" to show something", func() bool {
					lines, err := prom.between(asked(q.Expr), began, time.Now())
					if err != nil {
						t.Fatalf("%s: %v", q.Expr, err)
					}
					return shows(lines) || strings.Contains(q.Expr, "< +Inf") && unlimited(t, prom)
				})
			}
		}
	}
}

// shows reports whether there is a number among the values.
func shows(lines []line) bool {
	return slices.ContainsFunc(lines, func(l line) bool {
		return slices.ContainsFunc(l.Values, func(s sample) bool { return !math.IsNaN(s.value()) })
	})
}

// unlimited reports whether this machine sets no limit, of which nothing can be
// shown then.
func unlimited(t *testing.T, prom *prometheus) bool {
	t.Helper()
	lines, err := prom.between(`clientevents_memory_limit_bytes == +Inf`, time.Now().Add(-time.Second), time.Now())
	return err == nil && len(lines) > 0
}

func (s sample) value() float64 {
	text, _ := s[1].(string)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return f
}
