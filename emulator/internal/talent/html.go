package talent

import (
	"html"
	"maps"
	"strings"

	tokens "golang.org/x/net/html"
)

// htmlFields: "Applied fields are: description, applicationInfo.instruction,
// incentives, qualifications, responsibilities".
var htmlFields = []string{"description", "incentives", "qualifications", "responsibilities"}

// sanitize cleans the HTML of the sent fields. "Defaults to
// HtmlSanitization.SIMPLE_FORMATTING_ONLY".
func sanitize(fields, sent Object) {
	options, _ := fields["processingOptions"].(Object)
	if text(options, "htmlSanitization") == "HTML_SANITIZATION_DISABLED" {
		return
	}
	for _, name := range htmlFields {
		if s := text(sent, name); s != "" {
			setText(fields, name, clean(s))
		}
	}
	info, _ := sent["applicationInfo"].(Object)
	if s := text(info, "instruction"); s != "" {
		info = maps.Clone(info)
		setText(info, "instruction", clean(s))
		fields["applicationInfo"] = info
	}
}

// setText sets a string field, or removes it if the string is empty.
func setText(o Object, name, s string) {
	if s == "" {
		delete(o, name)
		return
	}
	o[name] = s
}

// simpleTags are the elements of HtmlSanitization.SIMPLE_FORMATTING_ONLY:
// "Sanitizes HTML input, only accepts bold, italic, ordered list, and unordered
// list".
var simpleTags = map[string]bool{"b": true, "strong": true, "i": true, "em": true, "ol": true, "ul": true, "li": true}

// hiddenTags are elements whose content is no text.
var hiddenTags = map[string]bool{
	"script": true, "style": true, "iframe": true, "noembed": true, "noframes": true, "noscript": true,
	"object": true, "plaintext": true, "textarea": true, "title": true, "xmp": true,
}

// clean keeps simple formatting without attributes, and does not change text. So it
// never makes a text longer, and cleaning again changes nothing.
func clean(s string) string {
	return filterTags(s, func(name string, end bool) string {
		switch {
		case !simpleTags[name]:
			return " "
		case end:
			return "</" + name + ">"
		}
		return "<" + name + ">"
	})
}

// plainText returns a text without tags, with its entities replaced.
func plainText(s string) string {
	return html.UnescapeString(filterTags(s, func(string, bool) string { return " " }))
}

// filterTags replaces each tag, and drops comments and the content of hidden
// elements. It does not change a text without tags.
func filterTags(s string, replace func(name string, end bool) string) string {
	if !strings.ContainsRune(s, '<') {
		return s
	}
	var b strings.Builder
	hidden := 0
	for z := tokens.NewTokenizer(strings.NewReader(s)); ; {
		kind := z.Next()
		if kind == tokens.ErrorToken { // the end, since reading a string does not fail
			return strings.TrimSpace(b.String())
		}
		out := " " // in place of a comment or a doctype
		switch kind {
		case tokens.TextToken:
			out = string(z.Raw())
		case tokens.StartTagToken, tokens.SelfClosingTagToken, tokens.EndTagToken:
			name := tagName(z)
			if hiddenTags[name] && kind == tokens.EndTagToken {
				hidden = max(0, hidden-1)
			}
			out = replace(name, kind == tokens.EndTagToken)
			if hiddenTags[name] && kind == tokens.StartTagToken {
				hidden++
			}
		}
		if hidden == 0 {
			b.WriteString(out)
		}
	}
}

func tagName(z *tokens.Tokenizer) string {
	name, _ := z.TagName()
	return string(name)
}
