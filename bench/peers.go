package main

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// peerSources are the programs that the harness builds from the peers' libraries. Names
// end in .txt where the tools of this repository would take a file for its own.
//
//go:embed peers
var peerSources embed.FS

// peer is a program that is built, or found, once for each machine.
type peer struct {
	name string
	// path is the environment variable with a program to take instead; empty for none.
	path string
	// sources is the folder under peers with its files; empty for none.
	sources string
	// version decides, together with the files, whether it is built again.
	version string
	// commands build it in a folder of its own with the files in it.
	commands [][]string
	// result is what the commands make there.
	result string
	// contender runs the result.
	contender func(result string) contender
}

// peers are the alternatives, the cheapest to build first.
func peers() []peer {
	return []peer{rdkafkaPeer(), telegrafPeer(), bentoPeer(), otelPeer(), camelPeer(), connectPeer()}
}

// alternatives returns those that run on this machine, and why the others don't.
func (w *world) alternatives(ctx context.Context) (found []contender, missing []string) {
	if w.options.alone {
		return nil, []string{"the alternatives (-alone)"}
	}
	for _, p := range peers() {
		if !p.wanted(w.options.peers) {
			continue
		}
		result, err := p.find(ctx)
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s (%s)", p.name, oneLine(err.Error())))
			continue
		}
		found = append(found, p.contender(result))
	}
	return found, append(missing, notOffered...)
}

// notOffered are programs that a user may know, and why none of them is a contender.
var notOffered = []string{
	"Vector and Fluent Bit (no registry has them as a package that builds)",
	"HTTP sinks of Kafka Connect (no registry has one)",
}

// wanted reports whether a list of names, separated by commas, has this one; an empty
// list has all.
func (p peer) wanted(names string) bool {
	if names == "" {
		return true
	}
	for name := range strings.SplitSeq(names, ",") {
		if strings.HasPrefix(strings.ToLower(p.name), strings.ToLower(strings.TrimSpace(name))) {
			return true
		}
	}
	return false
}

// find returns what the peer's commands made, and runs them if nothing did before.
func (p peer) find(ctx context.Context) (string, error) {
	if p.path != "" {
		if result := os.Getenv(p.path); result != "" {
			return result, nil
		}
	}
	if len(p.commands) == 0 {
		return "", errors.New(p.path + " is not set")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	key, err := p.key()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "clientevents", "bench", key)
	result := filepath.Join(folder, p.result)
	if _, err := os.Stat(result); err == nil {
		return result, nil
	}
	fmt.Println("bench: building", p.name)
	// A build that was cut off must not look like one that is complete.
	unfinished := folder + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	if err := p.write(unfinished); err != nil {
		return "", err
	}
	for _, args := range p.commands {
		if err := runIn(ctx, unfinished, args); err != nil {
			return "", err
		}
	}
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	return result, os.Rename(unfinished, folder)
}

// key names a build: another version, file or command makes another one.
func (p peer) key() (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, p.version, p.commands, p.result)
	err := p.files(func(name string, data []byte) error {
		fmt.Fprintln(hash, name, len(data))
		_, err := hash.Write(data)
		return err
	})
	name := strings.ReplaceAll(strings.ToLower(p.name), " ", "-")
	return fmt.Sprintf("%s-%.6x", name, hash.Sum(nil)), err
}

// files calls a function with each of the peer's files, without the .txt of their names.
func (p peer) files(each func(name string, data []byte) error) error {
	if p.sources == "" {
		return nil
	}
	root := "peers/" + p.sources
	return fs.WalkDir(peerSources, root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := peerSources.ReadFile(path)
		if err != nil {
			return err
		}
		return each(strings.TrimSuffix(strings.TrimPrefix(path, root+"/"), ".txt"), data)
	})
}

func (p peer) write(folder string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	return p.files(func(name string, data []byte) error {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return err
		}
		return os.WriteFile(file, data, 0o600)
	})
}

// runIn runs a command of a build. Programs in Go are static, as their releases and
// ours are.
func runIn(ctx context.Context, folder string, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the commands are constants
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s failed: %w: %s", strings.Join(args[:min(2, len(args))], " "), err, lastLine(out))
	}
	return nil
}

// configure writes a contender's configuration for one run, and returns the file's name.
func (w *world) configure(s setup, t *template.Template, kind string, values map[string]any) (string, error) {
	all := map[string]any{
		"Brokers": w.brokers, "Topic": s.topic, "Run": s.run, "URL": s.url + createPath, "Certificate": w.certificate,
		"TLS": strings.HasPrefix(s.url, "https:"), "Prompt": s.prompt,
	}
	maps.Copy(all, values)
	file := filepath.Join(w.dir, s.run+kind)
	out, err := os.Create(file)
	if err != nil {
		return "", err
	}
	defer out.Close()
	return file, t.Execute(out, all)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
