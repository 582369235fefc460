package admin

import "github.com/clientevents/clientevents/consumer/group"

// Group is the consumer group, as of the last check, which this replica makes
// every 15 seconds.
type Group struct {
	// Fault is a misconfiguration of the group.
	Fault string `json:"fault,omitempty"`
	// Unread reports whether partitions are unread because of the fault.
	Unread bool `json:"unread"`
	// Covered reports whether each partition is assigned to a member that reads
	// the topic.
	Covered bool `json:"covered"`
	// Throttled is for how many seconds the brokers still ask this replica to send
	// no further request, because of a quota.
	Throttled float64 `json:"throttled_seconds"`
	// ConfigDiffers reports whether a replica has another configuration than this one.
	ConfigDiffers bool     `json:"config_differs"`
	Members       []Member `json:"members"`
}

// Member is a member of the group.
type Member struct {
	ClientID   string  `json:"client_id"`
	Host       string  `json:"host"`
	InstanceID string  `json:"instance_id,omitempty"`
	Partitions []int32 `json:"partitions"`
	// Config is the hash of its configuration.
	Config string `json:"config,omitempty"`
	// Foreign reports whether the member is not a replica of this program that reads
	// the topic.
	Foreign bool `json:"foreign"`
}

// groupOf describes the group; throttled is in seconds.
func groupOf(s group.Status, throttled float64) Group {
	g := Group{Fault: s.Fault, Unread: s.Unread, Covered: s.Covered, Throttled: throttled, ConfigDiffers: s.ConfigDiffers, Members: []Member{}}
	for _, p := range s.Peers {
		m := Member{ClientID: p.ClientID, Host: p.Host, InstanceID: p.InstanceID, Partitions: p.Partitions, Config: p.Config, Foreign: p.Foreign}
		if m.Partitions == nil {
			m.Partitions = []int32{}
		}
		g.Members = append(g.Members, m)
	}
	return g
}
