package broker

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
)

// Cluster is several brokers with one quorum. Topics have three replicas, of which two
// must have a record before it is acknowledged (acks=all), and a missing topic is
// created when it is first used, as Kafka's defaults have it.
type Cluster struct {
	Nodes []*Broker
}

// StartCluster starts as many brokers as there are options, each in a folder of its
// own, and returns when all answer. The caller must [Cluster.Stop] it.
func StartCluster(ctx context.Context, nodes []Options) (*Cluster, error) {
	c := &Cluster{}
	var voters []string
	for i, o := range nodes {
		o.Properties = clusterProperties(len(nodes), o.Properties)
		b := &Broker{options: o, node: i + 1}
		if err := b.chooseAddresses(ctx); err != nil {
			return nil, fmt.Errorf("prepare broker %d: %w", b.node, err)
		}
		c.Nodes = append(c.Nodes, b)
		voters = append(voters, b.voter())
	}
	for _, b := range c.Nodes {
		b.voters = strings.Join(voters, ",")
		if err := b.start(ctx); err != nil {
			c.Stop()
			return nil, err
		}
	}
	for _, b := range c.Nodes {
		if err := b.awaitReady(ctx); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// InFolders returns the options of n brokers that differ from o in their folders and
// ports alone.
func (o Options) InFolders(n int) []Options {
	all := make([]Options, n)
	for i := range all {
		all[i] = o
		all[i].Dir = filepath.Join(o.Dir, "node-"+strconv.Itoa(i+1))
		if o.Port != 0 {
			all[i].Port = o.Port + i
		}
	}
	return all
}

func clusterProperties(nodes int, overrides map[string]string) map[string]string {
	replicas, insync := strconv.Itoa(min(3, nodes)), strconv.Itoa(min(2, nodes))
	properties := map[string]string{
		"default.replication.factor":               replicas,
		"min.insync.replicas":                      insync,
		"offsets.topic.replication.factor":         replicas,
		"transaction.state.log.replication.factor": replicas, "transaction.state.log.min.isr": insync,
		"share.coordinator.state.topic.replication.factor": replicas, "share.coordinator.state.topic.min.isr": insync,
	}
	maps.Copy(properties, overrides)
	return properties
}

// Environment is what tests find the cluster by: its first broker's, with the plaintext
// listeners of all.
func (c *Cluster) Environment() []string {
	return append(c.Nodes[0].Environment(), "KAFKA_BROKERS="+strings.Join(c.Addresses(), ","))
}

// Addresses returns the plaintext listeners, as a client is configured with them.
func (c *Cluster) Addresses() []string {
	all := make([]string, len(c.Nodes))
	for i, b := range c.Nodes {
		all[i] = b.Address(Plaintext)
	}
	return all
}

// Restart starts a broker again that was stopped or killed, with its data and at its
// addresses, and returns when it answers.
func (c *Cluster) Restart(ctx context.Context, b *Broker) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	return b.awaitReady(ctx)
}

// Stop ends all brokers at once. A shutdown in order needs a controller that outlives
// it, which the last ones of a quorum don't have.
func (c *Cluster) Stop() {
	for _, b := range c.Nodes {
		if b.process != nil {
			b.Kill()
		}
	}
}
