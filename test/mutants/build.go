package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// chosen is the environment variable that names the bug that a joint build has. Without
// it, the build has none.
const chosen = "MUTANT"

// joint is a build of the test programs with all bugs that stand within a function. Each
// such function gets a twin with the bug, which it calls where the bug is chosen: what
// would take a build for each bug takes one.
type joint struct {
	dir      string
	replaced map[string]string // what go reads, by the file that it reads it for
	files    map[string][]edit // by path
	packages []string          // whose tests are built
	names    map[*bug]string   // of the bugs that are in it
}

// edit is text put into a file at an offset.
type edit struct {
	at   int
	text string
}

// newJoint puts those of the bugs into a joint build that can be in one. The files are
// written into dir.
func newJoint(dir string, all []*bug) (*joint, error) {
	j := &joint{dir: dir, replaced: map[string]string{}, files: map[string][]edit{}, names: map[*bug]string{}}
	for i, b := range all {
		source, err := b.source()
		if err != nil {
			return nil, err
		}
		name := fmt.Sprint("mutant", i+1)
		edits, err := b.switchable(source, name)
		if err != nil {
			return nil, err
		}
		if edits == nil {
			continue
		}
		j.names[b] = name
		j.files[b.file] = append(j.files[b.file], edits...)
		if !slices.Contains(j.packages, b.pkg) {
			j.packages = append(j.packages, b.pkg)
		}
	}
	for file, edits := range j.files {
		if err := j.write(file, edits); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// switchable returns what makes the file a program that has the bug where name is
// chosen; nil where the bug is not within one function, or the function's parameters
// cannot be handed on.
func (b *bug) switchable(source, name string) ([]edit, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, b.file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	at := strings.Index(source, b.old)
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil || at <= offset(f.Body.Lbrace) || at+len(b.old) > offset(f.Body.Rbrace) {
			continue
		}
		call, ok := twin(f, name)
		if !ok {
			return nil, nil
		}
		from, body, to := offset(f.Name.Pos()), offset(f.Body.Lbrace)+1, offset(f.End())
		mutant := "\n" + source[offset(f.Pos()):from] + name + source[offset(f.Name.End()):at] + b.with + source[at+len(b.old):to] + "\n"
		return []edit{{body, fmt.Sprintf(" if chosenMutant == %q { %s };", name, call)}, {len(source), mutant}}, nil
	}
	return nil, nil
}

// twin returns the statement by which a function calls another with its receiver and
// parameters, and whether all of them have names.
func twin(f *ast.FuncDecl, name string) (statement string, ok bool) {
	var arguments []string
	for _, field := range f.Type.Params.List {
		if len(field.Names) == 0 {
			return "", false
		}
		for _, n := range field.Names {
			if n.Name == "_" {
				return "", false
			}
			argument := n.Name
			if _, variadic := field.Type.(*ast.Ellipsis); variadic {
				argument += "..."
			}
			arguments = append(arguments, argument)
		}
	}
	call := name + "(" + strings.Join(arguments, ", ") + ")"
	if f.Recv != nil {
		names := f.Recv.List[0].Names
		if len(names) == 0 || names[0].Name == "_" {
			return "", false
		}
		call = names[0].Name + "." + call
	}
	if f.Type.Results == nil {
		return call + "; return", true
	}
	return "return " + call, true
}

// write writes a file with its edits, and beside it the variable that they ask.
func (j *joint) write(file string, edits []edit) error {
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return a.at - b.at })
	var text bytes.Buffer
	done := 0
	for _, e := range edits {
		text.Write(source[done:e.at])
		text.WriteString(e.text)
		done = e.at
	}
	text.Write(source[done:])
	if err := j.replace(file, text.Bytes()); err != nil {
		return err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.PackageClauseOnly)
	if err != nil {
		return err
	}
	variable := fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar chosenMutant = os.Getenv(%q)\n", parsed.Name.Name, chosen)
	return j.replace(filepath.Join(filepath.Dir(file), "chosen_mutant.go"), []byte(variable))
}

func (j *joint) replace(file string, text []byte) error {
	original, err := filepath.Abs(file)
	if err != nil || j.replaced[original] != "" {
		return err
	}
	j.replaced[original] = filepath.Join(j.dir, fmt.Sprint(len(j.replaced), ".go"))
	return os.WriteFile(j.replaced[original], text, 0o600)
}

// build compiles the tests of every package into a program of its own.
func (j *joint) build(ctx context.Context) error {
	overlay, err := writeOverlay(j.dir, j.replaced)
	if err != nil {
		return err
	}
	for _, pkg := range j.packages {
		if err := os.MkdirAll(filepath.Dir(j.program(pkg)), 0o700); err != nil {
			return err
		}
	}
	// -s -w are what go test gives the linker, too.
	args := append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay=" + overlay, "-o", j.dir + "/"}, j.packages...)
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build the tests with all bugs: %w\n%s", err, out)
	}
	return nil
}

// program is where the tests of a package are.
func (j *joint) program(pkg string) string { return filepath.Join(j.dir, filepath.Base(pkg)+".test") }

// writeOverlay writes what tells go to read other files, and returns its path.
func writeOverlay(dir string, replaced map[string]string) (string, error) {
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}
