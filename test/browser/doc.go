// Package browsertest looks at the program's pages with a real browser:
// Chromium, by its own DevTools protocol. It holds tests alone.
//
// It is a module of its own, so that the protocol's large package is no part of
// the program's. It is in Go, since the tests then start the pipeline, and make
// its API misbehave, in their own process.
package browsertest
