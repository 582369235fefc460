package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup is a control group (cgroups(7), version 1 or 2) that limits the memory of a
// process, as a container's does. The kernel kills a process that needs more.
type cgroup struct {
	dir string
	// peakFile and killsFile are files of the group: the most memory that was used, in
	// bytes, and the number of kills.
	peakFile, killsFile string
}

// newCgroup makes a control group without swap. It fails where the machine does not let
// this user do so.
func newCgroup(limit int) (*cgroup, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	name := "clientevents-flood-" + strconv.Itoa(os.Getpid())
	var failures []error
	for line := range strings.Lines(string(own)) {
		// hierarchy:controllers:path, with no controllers for version 2
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[1] != "" && parts[1] != "memory" {
			continue
		}
		// The parent may have other rules than the root of the hierarchy.
		for _, parent := range []string{parts[2], "/"} {
			var c *cgroup
			if parts[1] == "memory" {
				c, err = limited(filepath.Join("/sys/fs/cgroup/memory", parent, name), "memory.limit_in_bytes", "memory.memsw.limit_in_bytes",
					strconv.Itoa(limit), strconv.Itoa(limit), "memory.max_usage_in_bytes", "memory.oom_control")
			} else {
				c, err = limited(filepath.Join("/sys/fs/cgroup", parent, name), "memory.max", "memory.swap.max",
					strconv.Itoa(limit), "0", "memory.peak", "memory.events")
			}
			if err == nil {
				return c, nil
			}
			failures = append(failures, err)
		}
	}
	if len(failures) == 0 {
		return nil, errors.New("no control group of this process can limit memory")
	}
	return nil, errors.Join(failures...)
}

func limited(dir, memoryFile, swapFile, memory, swap, peakFile, killsFile string) (*cgroup, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	c := &cgroup{dir: dir, peakFile: peakFile, killsFile: killsFile}
	err := c.write(memoryFile, memory)
	if err == nil {
		// Kernels without accounting of swap lack the file.
		if err = c.write(swapFile, swap); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

// write sets a limit. The file must exist: creating one in the hierarchy is refused.
func (c *cgroup) write(file, value string) error {
	f, err := os.OpenFile(filepath.Join(c.dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// command returns a command that runs in the group from its first instruction on.
func (c *cgroup) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	const enter = `echo $$ >"$0/cgroup.procs" && exec "$@"`
	return exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", enter, c.dir, name}, args...)...)
}

// peak returns the most memory that the group has used, in bytes, with the page cache
// of its files. Kernels before 5.19 do not know it for version 2.
func (c *cgroup) peak() (int, error) {
	data, err := os.ReadFile(filepath.Join(c.dir, c.peakFile))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// kills returns the number of processes that the kernel killed for their memory.
func (c *cgroup) kills() (int, error) {
	data, err := os.ReadFile(filepath.Join(c.dir, c.killsFile))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, fmt.Errorf("%s has no oom_kill", c.killsFile)
}

// remove removes the group, whose processes must have ended.
func (c *cgroup) remove() { _ = os.Remove(c.dir) }
