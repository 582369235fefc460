// Command grafana writes the dashboards: `make dashboards`. They are made of a
// few lines a panel, since their JSON can't be read or reviewed by anybody.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	dir := flag.String("out", "deploy/grafana", "the folder to write to")
	flag.Parse()
	for _, d := range dashboards {
		if err := d.write(*dir); err != nil {
			fmt.Fprintln(os.Stderr, "grafana:", err)
			os.Exit(1)
		}
	}
}

// object is a JSON object. Its names are written in alphabetic order, so the
// files change only where something changes.
type object map[string]any

// dashboard is one of the three.
type dashboard struct {
	file, title, description string
	rows                     []row
}

type row struct {
	title  string
	panels []panel
}

// panel is a picture with what it shows and what it is for.
type panel struct {
	title, unit, description string
	// runbook is the section to read when the panel looks wrong, of the runbook or,
	// as page#section, of another page.
	runbook string
	kind    string // "timeseries" if empty
	width   int    // of 24; 8 if 0
	queries []query
	// latest shows only series that have a value now, each by its name: for states
	// that come and go.
	latest bool
	// states names the values of a state.
	states states
	// objective is drawn as a line where it is not 0.
	objective float64
}

// states are the names of the values 0 and 1 of a state, with their colors. A
// value without a name is shown as a number.
type states [2]state

type state struct{ name, color string }

// mappings is the states as Grafana's value mappings.
func (s states) mappings() []object {
	options := object{}
	for value, state := range s {
		if state.name != "" {
			options[fmt.Sprint(value)] = object{"index": value, "text": state.name, "color": state.color}
		}
	}
	return []object{{"type": "value", "options": options}}
}

// query is an expression, in which FILTER stands for the labels that the
// variables choose.
type query struct{ expr, legend string }

// The labels that the variables choose: of a series, and of a recording rule.
const (
	filter    = `namespace=~"$namespace", instance=~"$instance"`
	filterJob = `namespace=~"$namespace", job=~"$job"`
)

const (
	docsURL    = "https://github.com/clientevents/clientevents/blob/main/docs/"
	runbookURL = docsURL + "runbook.md"
)

var datasource = object{"type": "prometheus", "uid": "$datasource"}

func (d *dashboard) write(dir string) error {
	data, err := json.MarshalIndent(d.model(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, d.file+".json"), append(data, '\n'), 0o644)
}

// model is the dashboard as Grafana imports it (schema 39 is Grafana 10.4's;
// later ones take it).
func (d *dashboard) model() object {
	return object{
		"uid": d.file, "title": d.title, "description": d.description, "schemaVersion": 39, "version": 1,
		"tags": []string{"clientevents"}, "editable": true, "graphTooltip": 1, "refresh": "30s",
		"time": object{"from": "now-3h", "to": "now"}, "timezone": "browser",
		"templating": object{"list": variables()},
		"links": []object{
			{"title": "Runbook", "type": "link", "url": runbookURL, "icon": "doc", "targetBlank": true},
			{"title": "clientevents", "type": "dashboards", "tags": []string{"clientevents"}, "keepTime": true, "includeVars": true, "asDropdown": false},
		},
		"annotations": object{"list": []object{{
			"name": "Alerts", "enable": true, "datasource": datasource, "iconColor": "red",
			"expr": fill(`ALERTS{alertname=~"ClientEvents.*", alertstate="firing", namespace=~"$namespace"}`), "titleFormat": "{{alertname}}",
		}}},
		"panels": d.panels(),
	}
}

// variables: what is chosen is the source, a namespace and a consumer group.
// Which instances these are is found by the series that names the group.
func variables() []object {
	of := func(name, label, query string, hide int) object {
		v := object{
			"name": name, "label": label, "type": "query", "datasource": datasource, "hide": hide, "refresh": 2, "sort": 1,
			"query": object{"query": query, "refId": name}, "definition": query,
			"includeAll": true, "multi": true, "current": object{"text": "All", "value": "$__all"},
		}
		if name == "namespace" {
			v["allValue"] = ".*" // outside of Kubernetes there is no such label
		}
		return v
	}
	const chosen = `clientevents_config_info{namespace=~"$namespace", group=~"$group"}`
	return []object{
		{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": object{}},
		of("namespace", "Namespace", "label_values(clientevents_config_info, namespace)", 0),
		of("group", "Consumer group", `label_values(clientevents_config_info{namespace=~"$namespace"}, group)`, 0),
		of("job", "Job", "label_values("+chosen+", job)", 2),
		of("instance", "Instance", "label_values("+chosen+", instance)", 0),
	}
}

func (d *dashboard) panels() (all []object) {
	const height, columns = 8, 24
	id, y := 0, 0
	for _, r := range d.rows {
		id++
		all = append(all, object{"id": id, "type": "row", "title": r.title, "collapsed": false, "gridPos": object{"x": 0, "y": y, "w": columns, "h": 1}, "panels": []object{}})
		y++
		x, high := 0, height
		for _, p := range r.panels {
			id++
			w, h := p.size()
			if x+w > columns {
				x, y = 0, y+high
			}
			high = h
			all = append(all, p.model(id, object{"x": x, "y": y, "w": w, "h": h}))
			x += w
		}
		y += high
	}
	return all
}

func (p *panel) size() (w, h int) {
	w, h = 8, 8
	if p.kind == "stat" {
		w, h = 6, 4
	}
	if p.width != 0 {
		w = p.width
	}
	return w, h
}

func (p *panel) model(id int, at object) object {
	kind := p.kind
	if kind == "" {
		kind = "timeseries"
	}
	instant := kind == "table" || p.latest
	targets := make([]object, len(p.queries))
	for i, q := range p.queries {
		targets[i] = object{
			"refId": string(rune('A' + i)), "datasource": datasource, "expr": fill(q.expr), "legendFormat": q.legend,
			"range": !instant, "instant": instant,
		}
		if kind == "table" {
			targets[i]["format"] = "table"
		}
	}
	defaults := object{"unit": p.unit}
	if kind == "stat" { // without thresholds, Grafana shows values from 80 in red
		defaults["thresholds"] = object{"mode": "absolute", "steps": []object{{"color": "green", "value": nil}}}
	}
	if p.states != (states{}) {
		defaults["mappings"] = p.states.mappings()
	}
	if p.objective != 0 {
		defaults["thresholds"] = object{"mode": "absolute", "steps": []object{{"color": "green", "value": nil}, {"color": "red", "value": p.objective}}}
		defaults["custom"] = object{"thresholdsStyle": object{"mode": "dashed"}}
	}
	return object{
		"id": id, "type": kind, "title": p.title, "description": p.description, "datasource": datasource, "gridPos": at,
		"fieldConfig": object{"defaults": defaults, "overrides": []object{}}, "options": p.options(kind), "targets": targets,
		"links": []object{{"title": "Runbook", "url": p.link(), "targetBlank": true}},
	}
}

// link is where to read on: a section of the runbook, or page#section of docs.
func (p *panel) link() string {
	if strings.Contains(p.runbook, "#") {
		return docsURL + p.runbook
	}
	return runbookURL + "#" + p.runbook
}

func (p *panel) options(kind string) object {
	switch kind {
	case "stat":
		o := object{"reduceOptions": object{"calcs": []string{"lastNotNull"}}, "colorMode": "value", "graphMode": "area"}
		if p.latest {
			o["graphMode"], o["textMode"] = "none", "value_and_name"
		}
		return o
	case "state-timeline":
		return object{"showValue": "auto", "mergeValues": true, "alignValue": "left", "legend": object{"showLegend": false}}
	case "table":
		return object{"showHeader": true}
	}
	return object{"legend": object{"displayMode": "list", "placement": "bottom", "showLegend": true}, "tooltip": object{"mode": "multi", "sort": "desc"}}
}

func fill(expr string) string {
	return strings.NewReplacer("FILTERJOB", filterJob, "FILTER", filter).Replace(expr)
}

// quantiles are three of a histogram.
func quantiles(metric string) (qs []query) {
	for _, q := range []struct{ q, name string }{{"0.5", "half"}, {"0.95", "95 %"}, {"0.99", "99 %"}} {
		qs = append(qs, query{fmt.Sprintf("histogram_quantile(%s, sum by (le) (rate(%s_bucket{FILTER}[$__rate_interval])))", q.q, metric), q.name})
	}
	return qs
}

// per is a rate by a label.
func per(label, series string) []query {
	return []query{{fmt.Sprintf("sum by (%s) (rate(%s[$__rate_interval]))", label, series), "{{" + label + "}}"}}
}
