package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/clientevents/clientevents/test/kafkatest/broker"
)

// network is a network of hosts, each a network namespace that a pair of veth devices
// connects with a bridge. The chaos run, the API and the test's own client are at the
// bridge. It needs root and Linux, and no kernel module but veth and bridge.
type network struct {
	hosts []*host
	next  int
}

// host is a machine as far as others can tell.
type host struct {
	namespace string
	port      string // the bridge's end of its cable
	ip        string
}

const (
	bridge   = "chaos0"
	bridgeIP = "10.77.0.1"
	// nowhere is a hardware address that no host has: frames to it are lost without a
	// word, as on a broken link. A firewall would need kernel modules that containers
	// lack.
	nowhere = "02:00:00:00:00:fe"
	// inNetwork is set for a process that runs in a namespace of its own.
	inNetwork = "CHAOS_NETWORK"
)

// errNoNetwork reports a machine that does not allow network namespaces.
var errNoNetwork = errors.New("NETWORK CUTS NOT RUN: no network namespaces to be had here")

// enterNetwork runs this program again in a network namespace of its own, and returns
// its exit code. The caller's network stays as it is.
func enterNetwork(ctx context.Context) (code int, err error) {
	if out, err := exec.CommandContext(ctx, "unshare", "--net", "ip", "link", "add", bridge, "type", "bridge").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %w %s", errNoNetwork, err, out)
	}
	// What has to be downloaded can't be from in there.
	if _, err := broker.Libraries(ctx, os.Stderr); err != nil {
		return 0, fmt.Errorf("%w: %w", errNoKafka, err)
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--net", self}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), inNetwork+"=1", "GOPROXY=off")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// newNetwork makes the bridge. It is nil where the process is not in a namespace of its
// own.
func newNetwork(ctx context.Context) (*network, error) {
	if os.Getenv(inNetwork) == "" {
		return nil, nil
	}
	n := &network{next: 2}
	return n, errors.Join(
		ip(ctx, "link set lo up"),
		ip(ctx, "link add "+bridge+" type bridge"),
		ip(ctx, "addr add "+bridgeIP+"/24 dev "+bridge),
		ip(ctx, "link set "+bridge+" up"),
	)
}

func ip(ctx context.Context, command string) error { return execute(ctx, "ip", command) }

func execute(ctx context.Context, program, command string) error {
	if out, err := exec.CommandContext(ctx, program, strings.Fields(command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, command, err, out)
	}
	return nil
}

// addHost adds a machine to the network.
func (n *network) addHost(ctx context.Context) (*host, error) {
	h := &host{namespace: fmt.Sprintf("chaos-%d-%d", os.Getpid(), n.next), port: fmt.Sprintf("port%d", n.next), ip: fmt.Sprintf("10.77.0.%d", n.next)}
	n.next++
	if err := ip(ctx, "netns add "+h.namespace); err != nil {
		return nil, err
	}
	n.hosts = append(n.hosts, h)
	inside := "-n " + h.namespace + " "
	return h, errors.Join(
		ip(ctx, "link add "+h.port+" type veth peer name eth0 netns "+h.namespace),
		ip(ctx, "link set "+h.port+" master "+bridge+" up"),
		ip(ctx, inside+"addr add "+h.ip+"/24 dev eth0"),
		ip(ctx, inside+"link set eth0 up"),
		ip(ctx, inside+"link set lo up"),
	)
}

// close removes the hosts.
func (n *network) close() {
	if n == nil {
		return
	}
	for _, h := range n.hosts {
		_ = ip(context.Background(), "netns del "+h.namespace) // what is left ends with this process
	}
}

// cut loses everything that from sends to an address of the network, in this direction
// alone. A from of nil is the bridge.
func cut(ctx context.Context, from *host, to string) error {
	return ip(ctx, fmt.Sprintf("%sneigh replace %s lladdr %s nud permanent dev %s", from.inside(), to, nowhere, from.device()))
}

// heal ends a cut.
func heal(ctx context.Context, from *host, to string) error {
	return ip(ctx, fmt.Sprintf("%sneigh del %s dev %s", from.inside(), to, from.device()))
}

func (h *host) inside() string {
	if h == nil {
		return ""
	}
	return "-n " + h.namespace + " "
}

func (h *host) device() string {
	if h == nil {
		return bridge
	}
	return "eth0"
}

// slow lets a host receive no more than some kilobytes a second; fast ends that.
func (h *host) slow(ctx context.Context) error {
	return execute(ctx, "tc", "qdisc add dev "+h.port+" root tbf rate 2mbit burst 16kb latency 2s")
}

func (h *host) fast(ctx context.Context) error {
	return execute(ctx, "tc", "qdisc del dev "+h.port+" root")
}

// link is one direction of a connection between two hosts.
type link struct {
	from *host
	to   string
}

// both are the two directions between a host and the bridge or another host.
func both(a, b *host) []link {
	if b == nil {
		return []link{{a, bridgeIP}, {nil, a.ip}}
	}
	return []link{{a, b.ip}, {b, a.ip}}
}

// cutNetwork cuts a replica off from something, or makes its link slow, for 3 to 15
// seconds.
func (w *world) cutNetwork(ctx context.Context) error {
	c, ok := w.broker.(*cluster)
	if !ok || c.hosts == nil {
		return nil
	}
	r := w.any()
	kinds := []func(context.Context, *cluster, *replica) (string, []link){w.fromCoordinator, w.fromLeader, w.fromAPI, w.fromEverything, w.oneWay}
	kind := w.result.cuts % (len(kinds) + 1)
	w.result.cuts++
	w.busy(ctx)
	if kind == len(kinds) {
		return w.slowDown(ctx, r)
	}
	what, links := kinds[kind](ctx, c, r)
	if len(links) == 0 {
		return nil
	}
	// What the API accepts and the replica can't record may come again, as after a kill;
	// so may what the replica had half written when the link works again.
	w.seen.cut()
	defer w.seen.crash()
	for _, l := range links {
		if err := cut(ctx, l.from, l.to); err != nil {
			return err
		}
	}
	r.frozen = kind == 3 || kind == 0 // it loses its partitions, and is not asked
	d := 3*time.Second + time.Duration(w.rng.IntN(12_000))*time.Millisecond
	fmt.Printf("chaos: %s is cut off from %s for %s\n", r.name, what, d.Round(100*time.Millisecond))
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	r.frozen = false
	for _, l := range links {
		if err := heal(context.WithoutCancel(ctx), l.from, l.to); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) slowDown(ctx context.Context, r *replica) error {
	fmt.Printf("chaos: the link of %s is slow\n", r.name)
	if err := r.host.slow(ctx); err != nil {
		return err
	}
	w.pause(ctx, 15*time.Second)
	return r.host.fast(context.WithoutCancel(ctx))
}

// fromCoordinator are the links to the broker that coordinates the group.
func (w *world) fromCoordinator(ctx context.Context, c *cluster, r *replica) (string, []link) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, found := range w.admin.FindGroupCoordinators(ctx, group) {
		if node := int(found.NodeID) - 1; found.Err == nil && node >= 0 && node < len(c.hosts) {
			return "the group's coordinator", both(r.host, c.hosts[node])
		}
	}
	return "", nil
}

// fromLeader are the links to the leader of one partition.
func (w *world) fromLeader(ctx context.Context, c *cluster, r *replica) (string, []link) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	topics, err := w.admin.ListTopics(ctx, topic)
	if err != nil {
		return "", nil
	}
	p := topics[topic].Partitions[int32(w.rng.IntN(partitions))]
	if node := int(p.Leader) - 1; node >= 0 && node < len(c.hosts) {
		return fmt.Sprintf("the leader of partition %d", p.Partition), both(r.host, c.hosts[node])
	}
	return "", nil
}

func (w *world) fromAPI(_ context.Context, _ *cluster, r *replica) (string, []link) {
	return "the API", both(r.host, nil)
}

func (w *world) fromEverything(_ context.Context, c *cluster, r *replica) (string, []link) {
	links := both(r.host, nil)
	for _, h := range c.hosts {
		links = append(links, both(r.host, h)...)
	}
	return "everything", links
}

// oneWay loses what the replica sends to one broker; the broker's answers arrive.
func (w *world) oneWay(_ context.Context, c *cluster, r *replica) (string, []link) {
	return "a broker, in one direction,", []link{{r.host, c.hosts[w.rng.IntN(len(c.hosts))].ip}}
}
