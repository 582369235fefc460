package tests

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v4"
)

// scaledRules writes the rules with each `for` and each range so many times
// shorter, so that what takes minutes can be seen in seconds. What else is in
// an expression stays: thresholds, be they of time, are the same.
func scaledRules(t *testing.T, times int) string {
	t.Helper()
	var file map[string]any
	loadYAML(t, filepath.Join(rulesDir, ruleFile), &file)
	for _, g := range file["groups"].([]any) {
		for _, r := range g.(map[string]any)["rules"].([]any) {
			r := r.(map[string]any)
			r["expr"] = scaled(t, r["expr"].(string), times)
			if text, ok := r["for"].(string); ok {
				d, err := model.ParseDuration(text)
				if err != nil {
					t.Fatal(err)
				}
				r["for"] = model.Duration(time.Duration(d) / time.Duration(times)).String()
			}
		}
	}
	data, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func scaled(t *testing.T, text string, times int) string {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.MatrixSelector:
			n.Range /= time.Duration(times)
		case *parser.SubqueryExpr:
			n.Range /= time.Duration(times)
			n.Step /= time.Duration(times)
		case *parser.VectorSelector:
			n.OriginalOffset /= time.Duration(times)
		}
		return nil
	})
	return expr.String()
}

func TestScaled(t *testing.T) {
	const text = `min_over_time(clientevents_consumer_lag[5m]) > 0 unless sum by (job) (rate(a_total[1h])) > 300`
	const want = `min_over_time(clientevents_consumer_lag[10s]) > 0 unless sum by (job) (rate(a_total[2m])) > 300`
	if got := scaled(t, text, 30); got != want {
		t.Errorf("%s: want %s", got, want)
	}
}
