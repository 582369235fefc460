package check

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/clientevents/clientevents/internal/netx"
)

// maxStatus bounds the bytes that are read of a replica's status.
const maxStatus = 8 << 20

// replicaStatus is the part of /status that a check shows.
type replicaStatus struct {
	Source  struct{ Topic, Group string }
	Summary struct{ Level, Headline, Detail, Advice string }
}

// replica shows the status of the replica that runs on this machine at admin.listen: it
// knows what no other check can see, such as a write that the brokers refuse. It says
// nothing where no replica of this topic and group answers.
func (ch *check) replica(ctx context.Context) {
	host, port, err := net.SplitHostPort(ch.c.Admin.Listen)
	if err != nil || port == "0" {
		return
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	address := net.JoinHostPort(host, port)
	s, err := ch.ask(ctx, "http://"+address+"/status")
	if err != nil || s.Source.Topic != ch.c.Kafka.Topic || s.Source.Group != ch.c.Kafka.Group || s.Summary.Headline == "" {
		return
	}
	what := "replica at " + address
	says := strings.TrimSuffix(s.Summary.Headline+". "+s.Summary.Detail, ". ")
	switch s.Summary.Level {
	case "bad":
		ch.fail(what, says, s.Summary.Advice)
	case "ok":
		ch.ok(what, "%s", says)
	default: // it starts, or is paused
		ch.note(what, says, s.Summary.Advice)
	}
}

// ask reads the status of a replica.
func (ch *check) ask(ctx context.Context, url string) (s replicaStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, ch.limits.answer)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return s, err
	}
	client := http.Client{Transport: &http.Transport{DialContext: ch.o.DialAdmin, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err = netx.Final(resp, err); err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&s)
}
