package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/clientevents/clientevents/test/kafkatest/broker"
)

// cluster is Apache Kafka with several brokers.
type cluster struct {
	options []broker.Options
	hosts   []*host // of the brokers; nil where all are on loopback
	running *broker.Cluster
}

func newCluster(ctx context.Context, o broker.Options, nodes int, net *network) (*cluster, error) {
	c := &cluster{options: o.InFolders(nodes)}
	if net == nil {
		return c, nil
	}
	for i := range c.options {
		h, err := net.addHost(ctx)
		if err != nil {
			return nil, err
		}
		c.options[i].Host, c.options[i].Namespace = h.ip, h.namespace
		c.hosts = append(c.hosts, h)
	}
	return c, nil
}

func (c *cluster) name() string {
	return fmt.Sprintf("Apache Kafka %s, %d brokers", broker.Version(), len(c.options))
}

func (c *cluster) addresses() string {
	return strings.Join(c.running.Addresses(), ",")
}

func (c *cluster) start(ctx context.Context) (err error) {
	c.running, err = broker.StartCluster(ctx, c.options)
	return err
}

func (c *cluster) stop() error {
	if c.running != nil {
		c.running.Stop()
	}
	return nil
}

func (c *cluster) restart(ctx context.Context) error {
	b := c.running.Nodes[rand.IntN(len(c.running.Nodes))]
	if err := b.Stop(); err != nil {
		return err
	}
	return c.running.Restart(ctx, b)
}

// killBroker ends a broker as a crash does, and starts it again after some seconds. Its
// leaders and the groups that it coordinates move to the others.
func (w *world) killBroker(ctx context.Context) error {
	c, ok := w.broker.(*cluster)
	if !ok {
		return nil
	}
	w.result.brokerKills++
	b := c.running.Nodes[w.rng.IntN(len(c.running.Nodes))]
	w.busy(ctx)
	b.Kill()
	w.pause(ctx, 6*time.Second)
	if err := c.running.Restart(ctx, b); err != nil {
		return err
	}
	return w.inSync(ctx)
}

// freezeBroker stops a broker's process for longer than the controller waits for it.
func (w *world) freezeBroker(ctx context.Context) error {
	c, ok := w.broker.(*cluster)
	if !ok {
		return nil
	}
	w.result.brokerFreezes++
	b := c.running.Nodes[w.rng.IntN(len(c.running.Nodes))]
	w.busy(ctx)
	b.Freeze()
	w.pause(ctx, 14*time.Second)
	b.Thaw()
	return w.inSync(ctx)
}

// moveLeaders gives every partition to its preferred leader again: after a crash, a
// broker leads nothing until somebody asks for that.
func (w *world) moveLeaders(ctx context.Context) error {
	w.result.moves++
	w.busy(ctx)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := w.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, nil)
	return err
}

// inSync waits until every partition has all its replicas, so that the next accident
// to a broker finds two others.
func (w *world) inSync(ctx context.Context) error {
	for limit := time.Now().Add(2 * time.Minute); time.Now().Before(limit) && ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		if w.allInSync(ctx) {
			return w.moveLeaders(ctx)
		}
	}
	return fmt.Errorf("not all replicas were in sync within two minutes (%w)", ctx.Err())
}

func (w *world) allInSync(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	topics, err := w.admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return false
	}
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p.Err != nil || len(p.ISR) < len(p.Replicas) {
				return false
			}
		}
	}
	return true
}
