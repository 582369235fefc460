package talent

import (
	"maps"
	"strings"

	"github.com/abadojack/whatlanggo"
	"github.com/microcosm-cc/bluemonday"
)

// simpleFormatting is HtmlSanitization.SIMPLE_FORMATTING_ONLY: "Sanitizes HTML
// input, only accepts bold, italic, ordered list, and unordered list".
var simpleFormatting = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("b", "strong", "i", "em", "ol", "ul", "li")
	p.AddSpaceWhenStrippingTag(true)
	return p
}()

// htmlFields: "Applied fields are: description, applicationInfo.instruction,
// incentives, qualifications, responsibilities".
var htmlFields = []string{"description", "incentives", "qualifications", "responsibilities"}

// sanitize cleans the HTML of the fields that were sent. "Defaults to
// HtmlSanitization.SIMPLE_FORMATTING_ONLY".
func sanitize(fields, sent Object) {
	options, _ := fields["processingOptions"].(Object)
	if text(options, "htmlSanitization") == "HTML_SANITIZATION_DISABLED" {
		return
	}
	for _, name := range htmlFields {
		if s := text(sent, name); s != "" {
			fields[name] = clean(s)
		}
	}
	info, _ := sent["applicationInfo"].(Object)
	if s := text(info, "instruction"); s != "" {
		info = maps.Clone(info)
		info["instruction"] = clean(s)
		fields["applicationInfo"] = info
	}
}

// clean leaves a text without tags alone: it has nothing to take away, and
// escaping its ampersands would only change what the client wrote.
func clean(s string) string {
	if !strings.ContainsRune(s, '<') {
		return s
	}
	return strings.TrimSpace(simpleFormatting.Sanitize(s))
}

// defaultLanguage: "detected language code based on Job.description is
// assigned, otherwise defaults to 'en_US'".
const defaultLanguage = "en_US"

// detectLanguage is the ISO 639-1 code of the language of a description. The
// service may add a region, which a text does not tell.
func detectLanguage(description string) string {
	const enough = 4000 // bytes tell a language as well as a hundred thousand
	if len(description) > enough {
		description = strings.ToValidUTF8(description[:enough], "")
	}
	found := whatlanggo.Detect(plainText(description))
	if code := found.Lang.Iso6391(); found.IsReliable() && code != "" {
		return code
	}
	return defaultLanguage
}

var noTags = bluemonday.StrictPolicy().AddSpaceWhenStrippingTag(true)

// plainText is a text without its tags.
func plainText(s string) string {
	if !strings.ContainsRune(s, '<') {
		return s
	}
	return noTags.Sanitize(s)
}
