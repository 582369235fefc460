// Package conformance holds both ends to Google's own definitions.
//
// What the reporter sends is read with the discovery documents in
// google.golang.org/api and the protobuf types of cloud.google.com/go/talent,
// as strictly as the service reads. What the emulator answers is read by
// Google's clients, unchanged: Go, Node and Python.
//
// It is a module of its own, so that none of that is in the product's go.mod.
package conformance
