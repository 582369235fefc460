package talent

import (
	"regexp"
	"strings"
)

// scanner reads an expression's tokens from its front.
type scanner struct {
	token *regexp.Regexp // anchored at the beginning
	rest  string
}

// peek returns the next token, "" at the end, or a character that is not part of a
// token.
func (p *scanner) peek() string {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if token := p.token.FindString(p.rest); token != "" || p.rest == "" {
		return token
	}
	return p.rest[:1]
}

// next cuts off the next token and returns it.
func (p *scanner) next() string {
	token := p.peek()
	p.rest = p.rest[len(token):]
	return token
}

// take cuts off the tokens, if they are the next ones. The case of keywords does not
// matter.
func (p *scanner) take(tokens ...string) bool {
	before := p.rest
	for _, token := range tokens {
		if !strings.EqualFold(p.next(), token) {
			p.rest = before
			return false
		}
	}
	return true
}
