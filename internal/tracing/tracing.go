// Package tracing sends traces to an OpenTelemetry collector over OTLP/HTTP.
//
// The stages know OpenTelemetry's interfaces alone; what is behind them is here.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
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
}

// Provider makes the spans and sends them. It never holds events up: spans that
// can't be sent in time are dropped.
type Provider struct{ sdk *sdk.TracerProvider }

// stopWait bounds how long a stop waits for the last spans to be sent.
const stopWait = 2 * time.Second

// New starts a provider. It does not connect.
func New(ctx context.Context, cfg Config) (*Provider, error) {
	target, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("tracing.endpoint: %w", err)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(target.JoinPath("v1/traces").String()))
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
		sdk.WithBatcher(exporter),
		sdk.WithResource(of),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(cfg.SampleRatio))),
	)}, nil
}

// Tracer is what the stages make spans with.
func (p *Provider) Tracer() trace.Tracer {
	return p.sdk.Tracer("github.com/clientevents/clientevents")
}

// Stop sends what is left, for two seconds at the most.
func (p *Provider) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	if err := p.sdk.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// complaints are what the library has to say, once a minute at the most: a
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
