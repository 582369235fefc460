package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

func loadCompose(file string) (*types.Project, error) {
	folder, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  folder,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(folder, filepath.Base(file))}},
	})
}

var version = regexp.MustCompile(`:v?[0-9]+\.[0-9]+`)

// checkCompose loads a compose file as compose does, which holds it to its schema and
// to the services that it names, and checks what compose finds only when it runs.
func checkCompose(file string) error {
	p, err := loadCompose(file)
	if err != nil {
		return err
	}
	var faults []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("compose: "+format, args...))
		}
	}
	for name, s := range p.Services {
		ours := s.Build != nil
		want(ours || version.MatchString(s.Image), "%s: image %s has no version", name, s.Image)
		if ours {
			_, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile))
			// The copy that a fault is planted in has no repository around it.
			_, alone := os.Stat(filepath.Join(filepath.Dir(file), filepath.Base(s.Build.Dockerfile)))
			want(err == nil || alone == nil, "%s: %v", name, err)
			want(s.ReadOnly && slices.Equal(s.CapDrop, []string{"ALL"}), "%s: it could write, or has capabilities", name)
		}
		for _, port := range s.Ports {
			want(port.HostIP == "127.0.0.1", "%s: port %s is open to others", name, port.Published)
		}
		for _, v := range s.Volumes {
			_, err := os.Stat(v.Source)
			want(err == nil, "%s: %v", name, err)
			want(v.ReadOnly, "%s: %s is not mounted read-only", name, v.Target)
		}
	}
	run := p.Services["clientevents"]
	want(run.StopGracePeriod != nil && time.Duration(*run.StopGracePeriod) >= (drainSeconds+5)*time.Second, "clientevents: a drain takes up to %d s", drainSeconds)
	var env []string
	for key, value := range run.Environment {
		env = append(env, key+"="+*value)
	}
	faults = append(faults, checkConfig("{}", env), checkScrape(filepath.Join(filepath.Dir(file), "compose/prometheus.yaml"), p))
	return errors.Join(faults...)
}

// checkScrape holds Prometheus' configuration to the services that there are.
func checkScrape(file string, p *types.Project) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c struct {
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return err
	}
	for _, job := range c.ScrapeConfigs {
		for _, s := range job.StaticConfigs {
			for _, target := range s.Targets {
				if name, _, _ := strings.Cut(target, ":"); p.Services[name].Name == "" {
					err = errors.Join(err, fmt.Errorf("prometheus: there is no service %s to scrape", name))
				}
			}
		}
	}
	return err
}
