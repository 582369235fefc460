package check

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// dockerfile is what a Dockerfile says about its last stage.
type dockerfile struct {
	stages              []instructions.Stage
	entrypoint, command []string
	ports               []string
}

func parseDockerfile(path string) (*dockerfile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tree, err := parser.Parse(f)
	if err != nil {
		return nil, err
	}
	d := &dockerfile{}
	if d.stages, _, err = instructions.Parse(tree.AST, nil); err != nil {
		return nil, err
	}
	for _, w := range tree.Warnings {
		err = errors.Join(err, fmt.Errorf("warning: %s", w.Short))
	}
	for _, c := range d.stages[len(d.stages)-1].Commands {
		switch c := c.(type) {
		case *instructions.EntrypointCommand:
			d.entrypoint = c.CmdLine
			if c.PrependShell {
				err = errors.Join(err, errors.New("ENTRYPOINT wants a shell, which the image doesn't have"))
			}
		case *instructions.CmdCommand:
			d.command = c.CmdLine
			if c.PrependShell {
				err = errors.Join(err, errors.New("CMD wants a shell, which the image doesn't have"))
			}
		case *instructions.ExposeCommand:
			d.ports = append(d.ports, c.Ports...)
		}
	}
	return d, err
}

// checkDockerfile holds a Dockerfile to the rules that matter for this image; those
// with a number are hadolint's.
func checkDockerfile(path, port string) error {
	d, err := parseDockerfile(path)
	if err != nil {
		return err
	}
	var faults []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	names := []string{}
	numbered := regexp.MustCompile(`^[1-9][0-9]{3,}:[1-9][0-9]{3,}$`)
	for i, stage := range d.stages {
		user := ""
		base := stage.BaseName
		_, tag, tagged := strings.Cut(base, ":")
		want(slices.Contains(names, base) || tagged && tag != "latest", "%s: no version (DL3006, DL3007)", base)
		names = append(names, stage.Name)
		for _, c := range stage.Commands {
			switch c := c.(type) {
			case *instructions.UserCommand:
				user = c.User
			case *instructions.AddCommand:
				want(false, "ADD: COPY does what is meant (DL3020)")
			case *instructions.WorkdirCommand:
				want(strings.HasPrefix(c.Path, "/"), "WORKDIR %s is not absolute (DL3000)", c.Path)
			case *instructions.CopyCommand:
				want(c.From == "" || slices.Contains(names, c.From), "COPY --from=%s: there is no such stage (DL3022)", c.From)
			case *instructions.RunCommand:
				line := strings.Join(c.CmdLine, " ")
				want(!strings.Contains(line, "sudo"), "RUN: sudo (DL3004)")
				want(!strings.Contains(line, "curl") && !strings.Contains(line, "wget"), "RUN: downloads what nobody checks")
			}
		}
		want(i == 0 || numbered.MatchString(user), "%s: USER %q: want numbers that are not root's (DL3002)", base, user)
	}
	last := d.stages[len(d.stages)-1]
	want(len(d.stages) > 1 && strings.Contains(last.BaseName, "distroless/static"), "the last stage is %s: want distroless/static", last.BaseName)
	want(slices.Equal(d.ports, []string{port}), "EXPOSE %v: want %s, the port it listens on", d.ports, port)
	want(strings.Contains(fmt.Sprint(d.stages[0].Commands), "GOARCH=$TARGETARCH"), "the build is not for TARGETARCH")
	want(d.stages[0].Platform == "$BUILDPLATFORM", "the build stage is not for the builder's own platform")
	want(strings.Contains(fmt.Sprint(d.stages[0].Commands), "CGO_ENABLED=0"), "the binary is not static")
	return errors.Join(faults...)
}
