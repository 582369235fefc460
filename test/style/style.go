// Package style checks the repository's own rules of style that no linter knows:
// the vocabulary of text, and the sizes of functions and files.
package style

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// The limits of production code, in lines. Tests have neither.
const (
	maxFileLines     = 450
	maxFunctionLines = 60
)

// banned matches the words and phrases that text does not use. CONTRIBUTING.md names
// the replacements.
var banned = regexp.MustCompile(`(?i)\b(mend(s|ed|ing)?|anew|whence|whither|whoever|whomever|thereof|wished|fares` +
	`|takes? (its|their) leave|take leave|(going|goes|go|went) on|nobody who|bury|buries|buried|burying` +
	`|wakes? somebody|stands? still|comes? to rest|comes than goes|as it has to be|says whether|at the (most|least)` +
	`|what (became|came) of)\b`)

// notEnglish matches what banned would mistake for a phrase.
var notEnglish = strings.NewReplacer("franz-go on", "franz-go, on")

// oversize is a file or a function above its limit.
type oversize struct {
	// Name is the file's path, or "path: function".
	Name  string
	Lines int
}

// textFiles yields the path and the content of each file of the repository that holds
// text of ours: programs, documents, manifests and scripts.
func textFiles(repository fs.FS, yield func(name, text string)) error {
	return fs.WalkDir(repository, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && foreign(name):
			return fs.SkipDir
		case d.IsDir() || !isText(name):
			return nil
		}
		text, err := fs.ReadFile(repository, name)
		if err == nil {
			yield(name, string(text))
		}
		return err
	})
}

// foreign reports whether a folder holds files that are not ours, or are built.
func foreign(name string) bool {
	switch base := path.Base(name); base {
	case "node_modules", "bin", "dist", "lib", "testdata", "target", "__pycache__":
		return true
	default:
		return strings.HasPrefix(base, ".") && base != "." && base != ".ci" && base != ".github"
	}
}

func isText(name string) bool {
	switch path.Ext(name) {
	case ".go", ".md", ".yaml", ".yml", ".tpl", ".js", ".mjs", ".css", ".html", ".java", ".py", ".sh", ".proto":
		return true
	case ".txt":
		return path.Base(name) == "NOTES.txt"
	}
	return path.Base(name) == "Makefile" || path.Base(name) == "Dockerfile" || name == ".ci/run"
}

// bannedIn returns the banned words and phrases of a text, in order.
func bannedIn(text string) []string { return banned.FindAllString(notEnglish.Replace(text), -1) }

// oversizeIn returns a Go file and its functions, as far as they exceed their limits.
func oversizeIn(name, text string) ([]oversize, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []oversize
	if lines := strings.Count(text, "\n"); lines > maxFileLines {
		found = append(found, oversize{name, lines})
	}
	for _, declaration := range file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if lines := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; lines > maxFunctionLines {
			found = append(found, oversize{name + ": " + f.Name.Name, lines})
		}
	}
	return found, nil
}
