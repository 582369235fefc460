package broker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/kafkatest/broker"
)

func TestABrokerStartedAgainKeepsItsRecordsAndItsPort(t *testing.T) {
	t.Parallel()
	libraries := os.Getenv("KAFKA_LIBRARIES")
	if libraries == "" {
		t.Skip("not run with Apache Kafka, since KAFKA_LIBRARIES is unset: `make kafka-test` gets the libraries and runs this test")
	}
	options := broker.Options{Libraries: libraries, Dir: t.TempDir(), Heap: "256m"}

	b, err := broker.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) }) // the last of the cleanups: others need the broker
	c := kafkatest.At(t, b.Address(broker.Plaintext))
	topic := c.NewTopic(t, "kept", 1)
	c.Produce(t, topic, kafka.Message{Value: []byte("kept")})
	stop(t, b)

	_, port, err := net.SplitHostPort(b.Address(broker.Plaintext))
	if err != nil {
		t.Fatal(err)
	}
	if options.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	again, err := broker.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	b = again
	got := c.ReadAll(t, topic)
	if len(got) != 1 || string(got[0].Value) != "kept" {
		t.Errorf("after the restart the topic holds %v, want the one record", got)
	}
}

// TestACluster: records survive the crash of a broker that leads their partition, and a
// frozen one; a crashed broker comes back.
func TestACluster(t *testing.T) {
	t.Parallel()
	libraries := os.Getenv("KAFKA_LIBRARIES")
	if libraries == "" {
		t.Skip("not run with Apache Kafka, since KAFKA_LIBRARIES is unset: `make kafka-test` gets the libraries and runs this test")
	}
	c, err := broker.StartCluster(t.Context(), broker.Options{Libraries: libraries, Dir: t.TempDir(), Heap: "256m", Properties: map[string]string{"replica.lag.time.max.ms": "5000"}}.InFolders(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	client := &kafka.Client{Addr: kafka.TCP(c.Addresses()...), Transport: &kafka.Transport{MetadataTTL: 100 * time.Millisecond}}
	answer, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: "kept", NumPartitions: 3, ReplicationFactor: -1}},
	})
	if err != nil || answer.Errors["kept"] != nil {
		t.Fatal(err, answer)
	}
	produce := func(value string) {
		t.Helper()
		try := func(partition int) bool {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			answer, err := client.Produce(ctx, &kafka.ProduceRequest{
				Topic: "kept", Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value))}),
			})
			if err == nil {
				err = answer.Error
			}
			if err != nil {
				t.Logf("%s, partition %d: %v", value, partition, err)
			}
			return err == nil
		}
		for p := range 3 {
			kafkatest.WaitFor(t, 3*time.Minute, fmt.Sprintf("partition %d to take %q", p, value), func() bool { return try(p) })
		}
	}
	produce("three brokers")
	c.Nodes[0].Kill()
	produce("two brokers")
	if err := c.Restart(t.Context(), c.Nodes[0]); err != nil {
		t.Fatal(err)
	}
	c.Nodes[1].Freeze()
	c.Nodes[1].Thaw()
	produce("three again")
}

func stop(t *testing.T, b *broker.Broker) {
	t.Helper()
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
}

func TestStartTellsWhyABrokerDoesNotComeUp(t *testing.T) {
	dir := t.TempDir()
	bin := t.TempDir()
	// A java that formats the storage, and then ends with a word on the way out.
	script := "#!/bin/sh\ncase \"$*\" in *StorageTool*) exit 0;; esac\necho no heap for you\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "java"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	_, err := broker.Start(t.Context(), broker.Options{Libraries: dir, Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "no heap for you") {
		t.Errorf("Start: %v, want the last words of the broker", err)
	}
}

func TestLibrariesWithoutMaven(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "java"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var progress strings.Builder
	_, err := broker.Libraries(t.Context(), &progress)
	if err == nil || !strings.Contains(err.Error(), "install Maven") {
		t.Errorf("Libraries: %v, want a word about Maven", err)
	}
}
