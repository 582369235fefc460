package group

import (
	"errors"
	"fmt"
)

// drift tells for how many checks replicas of the group have had different
// configurations. A single check may see a change that reaches one after the other.
type drift int

const (
	noDrift drift = iota
	newDrift
	lastingDrift
)

// SetConfigHash changes the hash of the configuration that is in force. The other
// members learn of it within two checks.
func (m *Member) SetConfigHash(hash string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.config = hash
}

// compare compares the configurations of the group's replicas with this one's. The
// caller holds mu.
func (m *Member) compare(peers []Peer) drift {
	if m.config == "" {
		return noDrift
	}
	var others []string
	for _, p := range peers {
		switch {
		case p.MemberID == m.id.member:
			m.announce(p.Config)
		case p.Config != "" && p.Config != m.config && !p.Foreign:
			others = append(others, fmt.Sprintf("%s on host %s", p.Config, p.Host))
		}
	}
	switch {
	case len(others) == 0:
		return noDrift
	case m.check.drift == noDrift:
		return newDrift
	case m.check.drift == newDrift:
		m.log.Warn("replicas of the group have other configurations than this one", "hash", m.config, "others", others)
	}
	return lastingDrift
}

// announce has this member join again if the coordinator knows another configuration of
// it; "" is a coordinator that does not tell. That interrupts no partition in a cooperative group; in an eager one, the other
// members learn of the configuration at the next rebalance. The caller holds mu.
func (m *Member) announce(known string) {
	if known != "" && known != m.config && m.protocol == cooperative && !m.joining && m.id.generation >= 0 {
		m.decideLocked(rejoin, errors.New("the configuration changed"))
	}
}
