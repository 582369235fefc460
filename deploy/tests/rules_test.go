package tests

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v4"
)

const (
	rulesDir = "../prometheus"
	runbook  = "../../docs/runbook.md"
	docsBase = "https://github.com/clientevents/clientevents/blob/main/docs/"
)

const ruleFile = "rules.yaml"

// rule is one of either kind.
type rule struct {
	Record      string
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

type ruleGroup struct {
	Name  string
	Rules []rule
}

func loadYAML(t testing.TB, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal(read(t, path), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func groups(t testing.TB) []ruleGroup {
	t.Helper()
	var f struct{ Groups []ruleGroup }
	loadYAML(t, filepath.Join(rulesDir, ruleFile), &f)
	return f.Groups
}

func rules(t testing.TB) (all []rule) {
	t.Helper()
	for _, g := range groups(t) {
		all = append(all, g.Rules...)
	}
	return all
}

func alerts(t testing.TB) []rule {
	t.Helper()
	return slices.DeleteFunc(rules(t), func(r rule) bool { return r.Alert == "" })
}

// tool finds a program of Debian's package prometheus.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("NOT RUN: %s is missing (Debian: apt-get install prometheus)", name)
	}
	return path
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "promtool"), args...)
	cmd.Dir = rulesDir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestCheckRules(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", ruleFile)
}

func TestRuleTests(t *testing.T) { promtool(t, "test", "rules", "tests.yaml") }

// TestRulesParse wants the parser of today's Prometheus to take the rules, too:
// Debian's promtool is older.
func TestRulesParse(t *testing.T) {
	if _, errs := rulefmt.ParseFile(filepath.Join(rulesDir, ruleFile), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler)); errs != nil {
		t.Errorf("%s: %v", ruleFile, errs)
	}
}

// TestEveryAlertIsTested wants a case in which it fires, and one in which it
// does not.
func TestEveryAlertIsTested(t *testing.T) {
	var f struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	loadYAML(t, filepath.Join(rulesDir, "tests.yaml"), &f)
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range f.Tests {
		for _, a := range test.Alerts {
			if len(a.Expected) > 0 {
				fires[a.Name] = true
			} else {
				quiet[a.Name] = true
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] {
			t.Errorf("%s: tests.yaml has no case in which it fires", a.Alert)
		}
		if !quiet[a.Alert] {
			t.Errorf("%s: tests.yaml has no case in which it does not fire", a.Alert)
		}
	}
}

var heading = regexp.MustCompile(`(?m)^## (.+)$`)

// sections are the headings of the runbook as GitHub links to them.
func sections(t testing.TB) []string { return sectionsOf(t, runbook) }

func sectionsOf(t testing.TB, page string) (anchors []string) {
	t.Helper()
	for _, m := range heading.FindAllSubmatch(read(t, page), -1) {
		anchor := strings.ToLower(strings.ReplaceAll(string(m[1]), " ", "-"))
		anchors = append(anchors, strings.ReplaceAll(anchor, ",", ""))
	}
	return anchors
}

// TestAlertsSayWhatToDo checks that each alert tells its receiver enough.
func TestAlertsSayWhatToDo(t *testing.T) {
	known := sections(t)
	all := alerts(t)
	for _, a := range all {
		if s := a.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity is %q: want page or ticket", a.Alert, s)
		}
		for _, name := range []string{"summary", "description"} {
			if a.Annotations[name] == "" {
				t.Errorf("%s has no %s", a.Alert, name)
			}
		}
		want := strings.ToLower(a.Alert)
		if a.Annotations["runbook_url"] != docsBase+"runbook.md#"+want || !slices.Contains(known, want) {
			t.Errorf("%s: runbook_url is %q: want that of a section of its own in docs/runbook.md", a.Alert, a.Annotations["runbook_url"])
		}
	}
	for _, section := range known {
		if strings.HasPrefix(section, "clientevents") && !slices.ContainsFunc(all, func(a rule) bool { return strings.ToLower(a.Alert) == section }) {
			t.Errorf("docs/runbook.md has a section %s, but there is no such alert", section)
		}
	}
}

// TestRunbookSections wants each to answer what somebody who was woken asks.
func TestRunbookSections(t *testing.T) {
	text := read(t, runbook)
	at := heading.FindAllIndex(text, -1)
	for i, where := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		section := text[where[0]:end]
		if !bytes.HasPrefix(section, []byte("## ClientEvents")) {
			continue
		}
		name, _, _ := bytes.Cut(section, []byte("\n"))
		for _, want := range []string{"**Means:**", "**See", "**Escalate:**"} {
			if !bytes.Contains(section, []byte(want)) {
				t.Errorf("%s does not say %s", name, want)
			}
		}
		if !regexp.MustCompile(`\*\*(See and do|Do)`).Match(section) {
			t.Errorf("%s does not say what to do", name)
		}
	}
	links := regexp.MustCompile(`\]\(#([^)]+)\)`)
	known := sections(t)
	for _, m := range links.FindAllSubmatch(text, -1) {
		if !slices.Contains(known, string(m[1])) {
			t.Errorf("docs/runbook.md links to #%s, which is no section of it", m[1])
		}
	}
}

var (
	panelNames = regexp.MustCompile(`\*(Service|API and quota|Partitions and state)\*,((?:\s*(?:and )?"[^"]+",?)+)`)
	quoted     = regexp.MustCompile(`"([^"]+)"`)
)

// TestRunbookPanels: a panel that the runbook sends somebody to is on that dashboard.
func TestRunbookPanels(t *testing.T) {
	titles := map[string]bool{}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			titles[strings.TrimPrefix(d.Title, "clientevents / ")+": "+p.Title] = true
		}
	}
	found := 0
	for _, m := range panelNames.FindAllSubmatch(read(t, runbook), -1) {
		for _, name := range quoted.FindAllSubmatch(m[2], -1) {
			found++
			title := strings.Join(strings.Fields(string(name[1])), " ")
			if panel := string(m[1]) + ": " + title; !titles[panel] {
				t.Errorf("docs/runbook.md sends to a panel that is not there: %s", panel)
			}
		}
	}
	if found < 10 {
		t.Errorf("the runbook names %d panels: want at least 10", found)
	}
}
