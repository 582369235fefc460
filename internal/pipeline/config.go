package pipeline

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/lifecycle"
	"github.com/clientevents/clientevents/internal/privacy"
	"github.com/clientevents/clientevents/internal/quality"
	"github.com/clientevents/clientevents/internal/tlsfile"
	"github.com/clientevents/clientevents/internal/version"
	"github.com/clientevents/clientevents/reporter"
)

// Environment holds the parts of a pipeline's configuration that are not in the
// configuration file.
type Environment struct {
	Kafka *connect.Kafka
	API   *connect.API
	// Files and Certificates keep the login to the schema registry current.
	Files        *filewatch.Watcher
	Certificates *tlsfile.Store
	DialAPI      connect.DialFunc // nil uses the network
	Logger       *slog.Logger
	Registerer   prometheus.Registerer
	Stop         *lifecycle.Budget
	Privacy      *privacy.Guard
	Memory       int64 // limit of the process's memory; 0 without a limit
}

// Configure derives the stages' configuration.
func Configure(c *config.Config, e Environment) (Config, error) {
	decoder, err := newDecoder(c, e)
	if err != nil {
		return Config{}, err
	}
	judges := quality.NewMonitor(quality.Pairs(e.Memory), e.Registerer)
	const batchBytes = 4 << 20
	return Config{
		Stop:    e.Stop,
		Privacy: e.Privacy,
		Quality: judges,
		Decoder: decoder,
		Consumer: consumer.Config{
			Brokers:            c.Kafka.Brokers,
			Topic:              c.Kafka.Topic,
			Group:              c.Kafka.Group,
			DeadLetterTopic:    c.Kafka.DeadLetterTopic,
			StateTopic:         c.Kafka.StateTopic,
			ByRequest:          byRequest(c),
			StateReplication:   c.Kafka.StateReplication,
			StartLatest:        c.Kafka.Start == config.Latest,
			Version:            c.API.Version,
			Decoder:            decoder,
			Rules:              Rules(c),
			InstanceID:         c.Kafka.InstanceID,
			SessionTimeout:     c.Kafka.SessionTimeout,
			ConfigHash:         c.Hash(),
			Memory:             e.Memory,
			MaxInFlightBytes:   c.Kafka.MaxInFlightBytes,
			MaxInFlightRecords: c.Kafka.MaxInFlightRecords,
			ReadAhead:          readAhead(c.Report),
			Reported: func(e *event.Event) {
				judges.Add(time.Now(), e.RequestID, e.Type.String(), e.Jobs)
			},
			Redact:     e.Privacy.Letter,
			Secrets:    c.Secrets,
			Transport:  e.Kafka.Transport,
			Logger:     e.Logger,
			Registerer: e.Registerer,
		},
		Batch: batcher.Config{
			Size:        c.Report.BatchSize,
			Bytes:       batchBytes,
			Linger:      c.Report.Linger,
			Concurrency: c.Report.Concurrency,
		},
		Reporter: reporting(c, e),
	}, nil
}

// reporting derives the reporter's configuration.
func reporting(c *config.Config, e Environment) reporter.Config {
	return reporter.Config{
		Endpoint:     c.API.Endpoint,
		Version:      c.API.Version,
		Parent:       c.API.Parent,
		QuotaProject: e.API.QuotaProject,
		Concurrency:  c.Report.Concurrency,
		Rate:         c.Report.Rate,
		Timeout:      c.API.Timeout,
		Tokens:       e.API.Tokens,
		Dial:         e.DialAPI,
		Privacy:      e.Privacy.ExtraInfo,
		Secrets:      c.Secrets,
		UserAgent:    version.UserAgent(),
		Logger:       e.Logger,
		Registerer:   e.Registerer,
	}
}

// byRequest returns the internal topic of input.rekey; "" without it.
func byRequest(c *config.Config) string {
	if !c.Input.Rekey {
		return ""
	}
	return c.Kafka.ByRequestTopic()
}

// Rules are the rules by which partitions decide.
func Rules(c *config.Config) consumer.Rules {
	return consumer.Rules{
		Window:          c.Dedupe.Window,
		ParentsRequired: c.Parents.Policy == config.RequireParent,
		ParentsWait:     c.Parents.Wait,
		ByValue:         c.Report.Priority == config.ByValue,
		Suspicious:      consumer.Suspicious{Age: c.Suspicious.Age, Ahead: c.Suspicious.Ahead, Refuse: c.Suspicious.Refuse},
	}
}

// readAhead returns the number of records that keep every request slot busy: those
// in flight and as many to follow, but enough that a fetch is worth its cost.
func readAhead(c config.Report) int64 {
	const least = 2000
	return int64(max(least, 2*c.Concurrency*c.BatchSize))
}
