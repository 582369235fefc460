package protojson

import "strings"

// ProtoName returns the name in the proto file of a field in lowerCamelCase.
func ProtoName(camel string) string {
	var b strings.Builder
	for _, c := range camel {
		if 'A' <= c && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// JSONName returns the lowerCamelCase of a name in the proto file.
func JSONName(snake string) string {
	var b strings.Builder
	upper := false
	for _, c := range snake {
		if c == '_' {
			upper = true
			continue
		}
		if upper && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper = false
		b.WriteRune(c)
	}
	return b.String()
}
