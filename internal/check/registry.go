package check

import (
	"context"

	"github.com/clientevents/clientevents/input"
)

// registry checks that the schema registry responds, if records need one.
func (ch *check) registry(ctx context.Context) {
	if !ch.c.Input.Format.UsesRegistry() {
		return
	}
	what := "schema registry " + ch.c.Input.Registry.URL
	c := ch.c.Decoding()
	c.Dial = ch.o.DialAPI
	decoder, err := input.New(c)
	if err != nil {
		ch.fail(what, err.Error(), "correct the configuration")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ch.limits.each)
	defer cancel()
	if err := decoder.CheckRegistry(ctx); err != nil {
		ch.fail(what, err.Error(), "check input.registry.url and its login; records wait until the registry is available")
		return
	}
	ch.ok(what, "answers")
}
