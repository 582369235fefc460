package consumer

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestDeadLettersOfAnOutage checks that all dead letters of 20 s without the topic are
// written afterwards, however many and however large they are, and that no write has more
// than maxLetterBytes of them.
func TestDeadLettersOfAnOutage(t *testing.T) {
	for _, c := range []struct {
		name        string
		tiny, large int
	}{{"tiny", 20_000, 0}, {"both", 20_000, 100}} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() {
				if c.name != "both" {
					t.Skip("not run with -short, which has both alone")
				}
				c.tiny, c.large = 4000, 10
			}
			synctest.Test(t, func(t *testing.T) {
				cluster := kafkatest.Bubble(t)
				cluster.CreateTopic(t, "events", 2, nil)
				var out atomic.Bool
				out.Store(true)
				cluster.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
					cluster.Fake.KeepControl()
					topic := &req.(*kmsg.ProduceRequest).Topics[0]
					if topic.Topic == "events.dead-letter" {
						checkLetters(t, topic.Partitions[0].Records)
					}
					if !out.Load() || topic.Topic != "events.dead-letter" {
						return nil, nil, false
					}
					return refusedProduce(req.(*kmsg.ProduceRequest), kerr.NotEnoughReplicas), nil, true
				})
				consumer, stop := refusing(t, cluster, func(c *Config) { c.Memory = 256 << 20 })
				for range c.tiny / 1000 {
					records := make([]kafkalog.Record, 1000)
					for i := range records {
						records[i].Value = []byte("x")
					}
					write(t, cluster, "events", 0, kafkalog.Zstd, records...)
				}
				random := rand.NewChaCha8([32]byte{})
				for range c.large {
					value := make([]byte, 1_000_000)
					_, _ = random.Read(value)
					write(t, cluster, "events", 0, kafkalog.Uncompressed, kafkalog.Record{Value: value})
				}
				time.Sleep(20 * time.Second)
				out.Store(false)
				kafkatest.WaitFor(t, 5*time.Minute, "the dead letters", func() bool {
					outcomes, _ := consumer.Counts()
					return outcomes["dead_letter"] == uint64(c.tiny+c.large)
				})
				stop()
				tiny, large := 0, 0
				for _, l := range cluster.ReadAll(t, "events.dead-letter") {
					if len(l.Value) == 1 {
						tiny++
					} else {
						large++
					}
				}
				if tiny != c.tiny || large != c.large {
					t.Errorf("%d tiny and %d large dead letters: want %d and %d", tiny, large, c.tiny, c.large)
				}
			})
		})
	}
}

// checkLetters checks that a batch of dead letters was filled by its size before it was
// compressed: a large one goes alone, and each takes more than 100 bytes.
func checkLetters(t *testing.T, records []byte) {
	t.Helper()
	var batch kmsg.RecordBatch
	if err := batch.ReadFrom(records); err != nil {
		t.Error(err)
		return
	}
	if n := int(batch.NumRecords); n > maxLetterBytes/100 || n > 1 && len(records) > maxLetterBytes {
		t.Errorf("a write has %d dead letters in %d bytes", n, len(records))
	}
}

func refusedProduce(req *kmsg.ProduceRequest, fault *kerr.Error) kmsg.Response {
	answer := req.ResponseKind().(*kmsg.ProduceResponse)
	topic := kmsg.NewProduceResponseTopic()
	topic.Topic = req.Topics[0].Topic
	for _, p := range req.Topics[0].Partitions {
		partition := kmsg.NewProduceResponseTopicPartition()
		partition.Partition, partition.ErrorCode = p.Partition, fault.Code
		topic.Partitions = append(topic.Partitions, partition)
	}
	answer.Topics = append(answer.Topics, topic)
	return answer
}

// TestOneLetterDoesNotFit checks that a dead letter above max.message.bytes holds up no
// others, is named with the numbers, is tried again ever more rarely, and is written when
// the limit is raised.
func TestOneLetterDoesNotFit(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: half an hour passes in it")
	}
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		cluster.CreateTopic(t, "events.dead-letter", 1, map[string]string{"max.message.bytes": "2000"})
		var log lockedBuffer
		c, stop := refusing(t, cluster, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		noise := make([]byte, 5000)
		_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
		for i := range 10 {
			value := fmt.Appendf(nil, "record %d", i)
			if i == 3 {
				value = noise
			}
			write(t, cluster, "events", 0, kafkalog.Uncompressed, kafkalog.Record{Value: value})
		}
		kafkatest.WaitFor(t, time.Minute, "the other dead letters", func() bool {
			outcomes, _ := c.Counts()
			return outcomes["dead_letter"] == 9
		})
		s := c.Partitions()[0]
		if s.Trouble != TroubleDeadLetters || s.Watermark != 3 ||
			!strings.HasPrefix(s.Detail, "1 dead letters of up to 5") || !strings.HasSuffix(s.Detail, "max.message.bytes of the dead-letter topic, which is 2000") {
			t.Errorf("the status is %+v", s)
		}
		var tries atomic.Int32
		cluster.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			cluster.Fake.KeepControl()
			if req.(*kmsg.ProduceRequest).Topics[0].Topic == "events.dead-letter" {
				tries.Add(1)
				time.Sleep(time.Second) // so that a loop does not stop the bubble's clock
			}
			return nil, nil, false
		})
		time.Sleep(30 * time.Minute)
		if n := tries.Load(); n < 6 || n > 20 {
			t.Errorf("%d tries in 30 minutes, expected one every 5 minutes in the end", n)
		}
		if n := strings.Count(log.take(), "dead letters do not fit"); n != 1 {
			t.Errorf("%d lines say that dead letters do not fit, expected one", n)
		}
		raiseLimit(t, cluster, "events.dead-letter", 10_000)
		kafkatest.WaitFor(t, 10*time.Minute, "the last dead letter", func() bool { return c.Partitions()[0].Watermark == 10 })
		if s := c.Partitions()[0]; s.Trouble != TroubleNone || s.Detail != "" {
			t.Errorf("the status is %+v", s)
		}
		stop()
		letters := cluster.ReadAll(t, "events.dead-letter")
		if last := letters[len(letters)-1]; len(letters) != 10 || !bytes.Equal(last.Value, noise) {
			t.Errorf("got %d dead letters", len(letters))
		}
	})
}

// raiseLimit sets max.message.bytes of a topic.
func raiseLimit(t *testing.T, cluster *kafkatest.Cluster, topic string, bytes int) {
	t.Helper()
	answer, err := cluster.Client(t).IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{
				Name: "max.message.bytes", Value: strconv.Itoa(bytes), ConfigOperation: kafka.ConfigOperationSet,
			}},
		}},
	})
	if err == nil {
		err = answer.Resources[0].Error
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSmallStateTopic checks that a state topic with a small max.message.bytes works.
func TestSmallStateTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		cluster.CreateTopic(t, "events.reported", 1, map[string]string{"max.message.bytes": "1500", "cleanup.policy": "compact"})
		const n = 300
		records := make([]kafkalog.Record, n)
		for i := range records {
			records[i].Value = eventWith(i, "")
		}
		write(t, cluster, "events", 0, kafkalog.Zstd, records...)
		sink := &acceptingSink{}
		c, stop := consuming(t, cluster, sink)
		kafkatest.WaitFor(t, time.Minute, "the state records", func() bool {
			outcomes, _ := c.Counts()
			return outcomes["reported"] == n
		})
		stop()
		ids := map[string]bool{}
		for _, m := range cluster.ReadAll(t, "events.reported") {
			if m.Key[0] == stateReported {
				ids[string(m.Key)] = true
			}
		}
		if len(ids) != n {
			t.Errorf("the state topic has %d events, expected %d", len(ids), n)
		}
	})
}

// TestLettersAreCompressed checks that a record which the source topic accepted compressed
// fits in a dead-letter topic with the same limit.
func TestLettersAreCompressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		limit := map[string]string{"max.message.bytes": "1048588"} // Kafka's default
		cluster.CreateTopic(t, "events", 1, limit)
		cluster.CreateTopic(t, "events.dead-letter", 1, limit)
		value := []byte(`{"requestId":"` + strings.Repeat("r", 3_000_000) + `"}`) // without the other fields
		write(t, cluster, "events", 0, kafkalog.Zstd, kafkalog.Record{Value: value})
		c, stop := refusing(t, cluster)
		kafkatest.WaitFor(t, time.Minute, "the dead letter", func() bool {
			outcomes, _ := c.Counts()
			return outcomes["dead_letter"] == 1
		})
		stop()
		if letters := cluster.ReadAll(t, "events.dead-letter"); len(letters) != 1 || !bytes.Equal(letters[0].Value, value) {
			t.Errorf("got %d dead letters", len(letters))
		}
	})
}
