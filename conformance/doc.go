// Package conformance tests the reporter and the emulator against Google's definitions.
//
// It parses the reporter's requests with the discovery documents in
// google.golang.org/api and the protobuf types of cloud.google.com/go/talent, as
// strictly as the service. Google's unchanged clients for Go, Java, Node and Python
// read the emulator's responses.
//
// It is a separate module, so that the product's go.mod has none of these
// dependencies.
package conformance
