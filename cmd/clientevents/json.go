package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/terminal"
)

// jsonFlag adds --json to a command that prints an object for each thing of a list, or
// one object. docs/json.md describes the objects.
func jsonFlag(cmd *cobra.Command, of string) *bool {
	return cmd.Flags().Bool(jsonName, false, "print a JSON object for "+of+"; see docs/json.md")
}

const jsonName = "json"

// wantsJSON reports whether the command has the flag --json, and args set it.
func wantsJSON(cmd *cobra.Command, args []string) bool {
	f := cmd.Flags().Lookup(jsonName)
	// The command's flags may be wrong, and then those behind the first fault are not read.
	return f != nil && (f.Value.String() == "true" || slices.Contains(args, "--"+jsonName))
}

// failedJSON is the document of a command that failed. It follows the documents that the
// command wrote before.
type failedJSON struct {
	Error string `json:"error"`
}

// writeJSON writes one document on one line. Characters that a terminal obeys are
// escaped, as text of a record or a broker may hold them.
func writeJSON(w io.Writer, document any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(document); err != nil {
		return err
	}
	_, err := w.Write(printableJSON(b.Bytes()))
	return err
}

// printableJSON escapes what [terminal.Printable] escapes, in JSON's way. Such characters
// are only in strings, except for the line feed at the end.
func printableJSON(document []byte) []byte {
	text := document[:len(document)-1]
	if terminal.Printable(string(text)) == string(text) {
		return document
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		if s := string(r); terminal.Printable(s) == s {
			b.WriteString(s)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	b.WriteByte('\n')
	return b.Bytes()
}
