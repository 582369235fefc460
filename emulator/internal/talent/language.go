package talent

import (
	"errors"
	"strings"

	"github.com/abadojack/whatlanggo"
	"golang.org/x/text/language"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// defaultLanguage: "detected language code based on Job.description is
// assigned, otherwise defaults to 'en_US'".
const defaultLanguage = "en_US"

// detectLanguage returns the ISO 639-1 code of the language of a description. The
// service may add a region, which the emulator can't detect.
func detectLanguage(description string) string {
	const enough = 4000 // bytes suffice to detect a language
	if len(description) > enough {
		description = strings.ToValidUTF8(description[:enough], "")
	}
	found := whatlanggo.Detect(plainText(description))
	if code := found.Lang.Iso6391(); found.IsReliable() && code != "" {
		return code
	}
	return defaultLanguage
}

// checkLanguage: "Language codes must be in BCP-47 format, such as "en-US" or
// "sr-Latn"." A well-formed code is accepted even if no registry has it. The
// documented default, en_US, is the only one with an underscore.
func checkLanguage(field, code string, bad *violations) {
	if code == "" || code == defaultLanguage {
		return
	}
	_, err := language.Parse(code)
	_, unregistered := errors.AsType[language.ValueError](err)
	if err != nil && !unregistered || strings.Contains(code, "_") {
		bad.add(field, "%q is not in BCP-47 format, such as \"en-US\" or \"sr-Latn\"", protojson.Clip(code))
	}
}

// languageKey returns the form in which codes are compared: RFC 5646, 2.1.1, "are to
// be treated as case insensitive".
func languageKey(code string) string { return strings.ReplaceAll(strings.ToLower(code), "_", "-") }
