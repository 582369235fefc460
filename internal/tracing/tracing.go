// Package tracing sends traces to an OpenTelemetry collector over OTLP/HTTP.
//
// The stages know OpenTelemetry's interfaces alone; what is behind them is here.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/clientevents/clientevents/internal/scrub"
)

// Config says where traces go.
type Config struct {
	// Endpoint is the collector's base URL, such as http://localhost:4318.
	// Headers and certificates for it come from OpenTelemetry's own variables,
	// such as OTEL_EXPORTER_OTLP_HEADERS.
	Endpoint string
	// SampleRatio is the share of events that are traced, from 0 to 1, of those
	// whose records have no traceparent; the others go by their producer's
	// decision.
	SampleRatio float64
	// Version of the program.
	Version string
	Logger  *slog.Logger
	// Secrets removes secrets from the spans; nil removes none.
	Secrets *scrub.Scrubber
	// Dial replaces the network; nil uses it.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Provider makes the spans and sends them. It never holds events up: spans that
// can't be sent in time are dropped.
type Provider struct{ sdk *sdk.TracerProvider }

// New starts a provider. It does not connect.
func New(ctx context.Context, cfg Config) (*Provider, error) {
	target, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("tracing.endpoint: %w", err)
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(target.JoinPath("v1/traces").String())}
	if cfg.Dial != nil {
		client := &http.Client{Transport: &http.Transport{DialContext: cfg.Dial, DisableKeepAlives: true}}
		options = append(options, otlptracehttp.WithHTTPClient(client))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("tracing.endpoint: %w", err)
	}
	of, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "clientevents"),
		attribute.String("service.version", cfg.Version),
	), resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(&complaints{log: cfg.Logger})
	return &Provider{sdk.NewTracerProvider(
		sdk.WithBatcher(&scrubbing{exporter, cfg.Secrets}),
		sdk.WithResource(of),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(cfg.SampleRatio))),
	)}, nil
}

// Tracer is what the stages make spans with.
func (p *Provider) Tracer() trace.Tracer {
	return p.sdk.Tracer("github.com/clientevents/clientevents")
}

// Stop sends the remaining spans until ctx ends. A collector that is away is no
// error of the program: the log tells it.
func (p *Provider) Stop(ctx context.Context) error {
	if err := p.sdk.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
	return nil
}

// complaints are what the library has to say, once a minute at most: a
// collector that is away would otherwise fill the log.
type complaints struct {
	log  *slog.Logger
	mu   sync.Mutex
	last time.Time
}

const complainEvery = time.Minute

func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.last) >= complainEvery {
		c.last = now
		c.log.Warn("traces are not delivered; events are not affected", "error", err)
	}
}
