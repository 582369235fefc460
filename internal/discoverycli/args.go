package discoverycli

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The grammar is that of clap 2, which google-apis-rs uses. A repeatable option also
// takes all words up to the next one that begins with a dash, and the methods come
// from the discovery document. No library for Go supports both.

// option is a word that begins with a dash.
type option struct {
	// name includes the dashes.
	name string
	// value names the value that follows it, "" for a flag.
	value string
	// greedy options are repeatable, and take all words up to the next option.
	greedy bool
	// repeated options are repeatable, and take one word each time.
	repeated bool
	help     string
}

// String returns the option's form in error messages and usage lines.
func (o *option) String() string {
	switch {
	case o.value == "":
		return o.name
	case o.greedy || o.repeated:
		return o.name + " <" + o.value + ">..."
	}
	return o.name + " <" + o.value + ">"
}

var (
	helpOption    = &option{name: "--help", help: "Prints help information (also -h)"}
	versionOption = &option{name: "--version", help: "Prints version information (also -V)"}

	scopeOption       = &option{name: "--scope", value: "url", repeated: true, help: "Specify the authentication a method should be executed in. Each scope requires the user to grant this application permission to use it. May be repeated. If unset, it defaults to the first of the scopes that the method lists."}
	configOption      = &option{name: "--config-dir", value: "folder", help: "The directory of the secret file and the token cache of the installed application; it is made if need be. Defaults to ~/.google-service-cli, where that exists."}
	debugOption       = &option{name: "--debug", help: "Prints the request and the answer on standard error, without what is secret in them."}
	endpointOption    = &option{name: "--endpoint", value: "url", help: "Where the API is, if not at Google's address: an emulator, for example http://127.0.0.1:8080. No credentials are sent to a loopback address unless --credentials is given."}
	credentialsOption = &option{name: "--credentials", value: "file", help: "A file of Google credentials (a service account's key, for example), or 'default' for Application Default Credentials, or 'installed' for the installed application, or 'none'."}

	requestOption = &option{name: "-r", value: "kv", greedy: true, help: "Set various fields of the request structure, matching the key=value form"}
	paramOption   = &option{name: "-p", value: "v", greedy: true, help: "Set various optional parameters, matching the key=value form"}
	outOption     = &option{name: "-o", value: "out", help: "Specify the file into which to write the program's output; - is standard output, the default"}

	// globalOptions are accepted anywhere.
	globalOptions = []*option{scopeOption, configOption, debugOption, endpointOption, credentialsOption, helpOption, versionOption}
)

func (c *command) options() []*option {
	var options []*option
	if c.method.Request != nil {
		options = append(options, requestOption)
	}
	return append(options, paramOption, outOption)
}

// invocation is a parsed command line.
type invocation struct {
	group   *group
	command *command
	// words are the command's arguments, as many as it has.
	words []string
	// values are the options' values by name; a flag has the value "".
	values map[string][]string
}

func (in *invocation) has(o *option) bool { return len(in.values[o.name]) > 0 }

func (in *invocation) get(o *option) string {
	if v := in.values[o.name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (in *invocation) all(o *option) []string { return in.values[o.name] }

// usageError describes a command line that violates the grammar.
type usageError struct{ message, usage string }

func (e *usageError) Error() string { return e.message }

// infoRequest is a command line that only requests a text, such as help.
type infoRequest struct{ text string }

func (infoRequest) Error() string { return "help or version requested" }

type parser struct {
	program *Program
	groups  []*group
	rest    []string
	in      *invocation
	// greedy is the option that takes the next word too.
	greedy *option
	// literal reports whether "--" preceded: no later word is an option.
	literal bool
}

// parse parses the command line. It returns a *usageError or an infoRequest as
// error.
func (p *Program) parse(args []string) (*invocation, error) {
	ps := &parser{program: p, groups: commandTree(p.API), rest: args, in: &invocation{values: map[string][]string{}}}
	for _, a := range args {
		if !utf8.ValidString(a) {
			return nil, ps.fail("Invalid UTF-8 was detected in one or more arguments")
		}
	}
	for len(ps.rest) > 0 {
		word := ps.rest[0]
		ps.rest = ps.rest[1:]
		if err := ps.take(word); err != nil {
			return nil, err
		}
	}
	if ps.in.command == nil {
		return ps.in, nil
	}
	return ps.in, ps.checkRequired()
}

func (ps *parser) take(word string) error {
	switch {
	case ps.literal || !isOption(word):
		return ps.word(word)
	case word == "--":
		ps.greedy, ps.literal = nil, true
		return nil
	case strings.HasPrefix(word, "--"):
		name, value, joined := strings.Cut(word, "=")
		return ps.option(name, value, joined, joined)
	}
	_, size := utf8.DecodeRuneInString(word[1:])
	name, value := word[:1+size], word[1+size:]
	value, equals := strings.CutPrefix(value, "=")
	return ps.option(name, value, value != "" || equals, equals)
}

// isOption reports whether a word is an option. A single dash is a value, standard
// output.
func isOption(word string) bool { return len(word) > 1 && word[0] == '-' }

// option reads an option, and a value joined to it. After a value with an equals sign,
// the option takes no further word.
func (ps *parser) option(name, value string, joined, equals bool) error {
	ps.greedy = nil
	o := ps.lookup(name)
	switch {
	case o == nil:
		return ps.unexpected(name)
	case o == helpOption:
		return infoRequest{ps.help()}
	case o == versionOption:
		return infoRequest{ps.program.versionLine() + "\n"}
	case o.value == "" && joined:
		return ps.fail("The argument '%s' takes no value but one was given", o)
	case !o.greedy && !o.repeated && ps.in.has(o):
		return ps.fail("The argument '%s' was provided more than once, but cannot be used multiple times", o)
	case o.value == "":
		return ps.set(o, "")
	}
	if !joined {
		if len(ps.rest) == 0 || isOption(ps.rest[0]) && (ps.rest[0] == "--" || ps.known(ps.rest[0])) {
			return ps.requiresValue(o)
		}
		if isOption(ps.rest[0]) {
			return ps.take(ps.rest[0]) // which reports that there is no such option
		}
		value, ps.rest = ps.rest[0], ps.rest[1:]
	}
	if o.greedy && !equals {
		ps.greedy = o
	}
	return ps.set(o, value)
}

func (ps *parser) set(o *option, value string) error {
	if value == "" && o.value != "" {
		return ps.requiresValue(o)
	}
	ps.in.values[o.name] = append(ps.in.values[o.name], value)
	return nil
}

func (ps *parser) requiresValue(o *option) error {
	return ps.fail("The argument '%s' requires a value but none was supplied", o)
}

// known reports whether a word begins with a known option.
func (ps *parser) known(word string) bool {
	if strings.HasPrefix(word, "--") {
		name, _, _ := strings.Cut(word, "=")
		return ps.lookup(name) != nil
	}
	return ps.lookup(word[:2]) != nil
}

func (ps *parser) options() []*option {
	if ps.in.command == nil {
		return globalOptions
	}
	return append(ps.in.command.options(), globalOptions...)
}

func (ps *parser) lookup(name string) *option {
	switch name {
	case "-h":
		return helpOption
	case "-V":
		return versionOption
	}
	for _, o := range ps.options() {
		if o.name == name {
			return o
		}
	}
	return nil
}

// word reads a word that is not an option: a value of a greedy option, the next
// command, or an argument.
func (ps *parser) word(word string) error {
	switch {
	case ps.greedy != nil:
		return ps.set(ps.greedy, word)
	case ps.in.command != nil:
		return ps.argument(word)
	case ps.literal:
		return ps.unexpected(word)
	case word == "help":
		return ps.helpCommand()
	case ps.enter(word):
		return nil
	}
	return ps.unknownCommand(word)
}

func (ps *parser) argument(word string) error {
	args := ps.in.command.args
	if len(ps.in.words) == len(args) {
		return ps.unexpected(word)
	}
	if word == "" {
		return ps.fail("The argument '<%s>' requires a value but none was supplied", args[len(ps.in.words)].typed)
	}
	ps.in.words = append(ps.in.words, word)
	return nil
}

// enter goes to the command with the name below the current one.
func (ps *parser) enter(word string) bool {
	if ps.in.group == nil {
		for _, g := range ps.groups {
			if g.name == word {
				ps.in.group = g
				return true
			}
		}
		return false
	}
	for _, c := range ps.in.group.commands {
		if c.name == word {
			ps.in.command = c
			return true
		}
	}
	return false
}

// subcommands returns the names that can follow.
func (ps *parser) subcommands() (names []string) {
	switch {
	case ps.in.command != nil:
		return nil
	case ps.in.group != nil:
		for _, c := range ps.in.group.commands {
			names = append(names, c.name)
		}
	default:
		for _, g := range ps.groups {
			names = append(names, g.name)
		}
	}
	return append(names, "help")
}

// helpCommand reads "help" in place of a command, and the words after it.
func (ps *parser) helpCommand() error {
	for _, word := range ps.rest {
		if ps.in.command != nil || !ps.enter(word) {
			return ps.fail("The subcommand '%s' wasn't recognized", word)
		}
	}
	return infoRequest{ps.help()}
}

func (ps *parser) unknownCommand(word string) error {
	near := nearest(word, ps.subcommands())
	if near == "" {
		return ps.unexpected(word)
	}
	return ps.fail("The subcommand '%[1]s' wasn't recognized\n\tDid you mean '%[2]s'?\n\nIf you believe you received this message in error, try re-running with '%[3]s -- %[1]s'", word, near, ps.commandLine())
}

func (ps *parser) unexpected(word string) error {
	message := fmt.Sprintf("Found argument '%s' which wasn't expected, or isn't valid in this context", word)
	if strings.HasPrefix(word, "--") {
		var names []string
		for _, o := range ps.options() {
			if name, long := strings.CutPrefix(o.name, "--"); long {
				names = append(names, name)
			}
		}
		if n := nearest(word[2:], names); n != "" {
			message += "\n\tDid you mean --" + n + "?"
		}
	}
	return ps.fail("%s", message)
}

func (ps *parser) checkRequired() error {
	var missing []string
	c := ps.in.command
	for _, arg := range c.args[len(ps.in.words):] {
		missing = append(missing, "<"+arg.typed+">")
	}
	if c.method.Request != nil && !ps.in.has(requestOption) {
		missing = append(missing, requestOption.String())
	}
	if len(missing) == 0 {
		return nil
	}
	return ps.fail("The following required arguments were not provided:\n    %s", strings.Join(missing, "\n    "))
}

func (ps *parser) fail(format string, args ...any) error {
	return &usageError{message: fmt.Sprintf(format, args...), usage: ps.usage()}
}

// commandLine returns the program's name and the commands so far.
func (ps *parser) commandLine() string {
	line := ps.program.Name
	if ps.in.group != nil {
		line += " " + ps.in.group.name
	}
	if ps.in.command != nil {
		line += " " + ps.in.command.name
	}
	return line
}

// usage returns the block with the words that can follow.
func (ps *parser) usage() string {
	return "USAGE:\n    " + ps.commandLine() + " " + strings.Join(ps.usageParts(), " ")
}

func (ps *parser) usageParts() []string {
	if ps.in.command == nil {
		return []string{"[OPTIONS]", "<SUBCOMMAND>"}
	}
	parts := []string{"[OPTIONS]"}
	for _, arg := range ps.in.command.args {
		parts = append(parts, "<"+arg.typed+">")
	}
	if ps.in.command.method.Request != nil {
		parts = append(parts, requestOption.String())
	}
	return parts
}
