package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that is never shown, however it is printed, logged or
// marshalled. Only a conversion to a string reveals it.
type Secret string

const hidden = "(secret)"

// String hides the secret, but shows whether there is one.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format hides the secret from every verb; without it, a wrong one such as %d
// would show the text.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText hides the secret in JSON, YAML and text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the secret from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
