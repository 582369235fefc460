package group

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// reaction is the consequence of a request's answer.
type reaction int

const (
	done   reaction = iota
	again           // wait a moment, then repeat the request
	find            // find the coordinator again, then repeat the request
	adopt           // take the member id of the answer, then join again
	rejoin          // join again as the same member; its partitions stay its own
	lose            // the partitions are lost; join again as the same member
	renew           // the partitions are lost, and so is the member id
	fatal           // nothing that this program could do helps
)

// reactions are those to the error codes that brokers answer with. Each request
// has its own, since the same code means different things: a member that is
// joining is not expected to know its generation, one that commits is.
var reactions = map[protocol.ApiKey]map[kafka.Error]reaction{
	protocol.FindCoordinator: {
		kafka.InvalidGroupId:           fatal,
		kafka.GroupAuthorizationFailed: fatal,
	},
	protocol.JoinGroup: {
		kafka.MemberIDRequired:          adopt,
		kafka.RebalanceInProgress:       again,
		kafka.UnknownMemberId:           renew,
		kafka.IllegalGeneration:         renew, // not specified for a join
		kafka.InconsistentGroupProtocol: again, // until the others are gone
		kafka.GroupMaxSizeReached:       again, // likewise
		kafka.InvalidSessionTimeout:     fatal,
		kafka.InvalidGroupId:            fatal,
		kafka.GroupAuthorizationFailed:  fatal,
		kafka.UnsupportedVersion:        fatal,
		kafka.FencedInstanceID:          fatal,
	},
	protocol.SyncGroup: {
		kafka.RebalanceInProgress:       rejoin,
		kafka.IllegalGeneration:         rejoin, // the group rebalanced once more; it knows this member's claims
		kafka.InconsistentGroupProtocol: rejoin,
		kafka.UnknownMemberId:           renew,
		kafka.GroupAuthorizationFailed:  fatal,
		kafka.FencedInstanceID:          fatal,
	},
	protocol.Heartbeat: {
		kafka.RebalanceInProgress:      rejoin,
		kafka.GroupAuthorizationFailed: rejoin, // which tells whether the right is gone for good
		kafka.IllegalGeneration:        lose,
		kafka.UnknownMemberId:          renew,
		kafka.FencedInstanceID:         fatal,
	},
	protocol.OffsetCommit: {
		kafka.RebalanceInProgress: again, // the offsets are accepted when the member has its assignment
		kafka.IllegalGeneration:   lose,
		kafka.UnknownMemberId:     renew,
		kafka.FencedInstanceID:    fatal,
	},
	protocol.OffsetFetch: {
		kafka.UnknownMemberId:          renew,
		kafka.IllegalGeneration:        rejoin,
		kafka.GroupAuthorizationFailed: fatal,
		kafka.TopicAuthorizationFailed: fatal,
	},
	protocol.LeaveGroup: {
		kafka.UnknownMemberId:          done, // it is no member
		kafka.FencedInstanceID:         done,
		kafka.GroupAuthorizationFailed: done, // nothing helps, and the session ends
	},
}

// react returns the reaction to an answer for this member: a login that is rejected
// after an earlier one was accepted is tried again.
func (m *Member) react(request protocol.ApiKey, err error) reaction {
	r := react(request, err)
	if r == fatal && m.loggedIn.Load() && isLogin(err) {
		return find
	}
	return r
}

// isLogin reports whether the broker rejected the login.
func isLogin(err error) bool {
	for _, code := range []kafka.Error{kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// react returns the reaction to an answer. A request is repeated after an error
// that the table does not name: after asking for the coordinator again if the
// network failed or the broker does not coordinate the group, otherwise after a
// moment.
func react(request protocol.ApiKey, err error) reaction {
	if err == nil {
		return done
	}
	code, ok := errors.AsType[kafka.Error](err)
	if !ok {
		if errors.Is(err, errInvalid) {
			return again
		}
		return find
	}
	if r, ok := reactions[request][code]; ok {
		return r
	}
	if isLogin(code) {
		if request == protocol.JoinGroup || request == protocol.FindCoordinator {
			return fatal
		}
		return find
	}
	switch code {
	case kafka.NotCoordinatorForGroup, kafka.GroupCoordinatorNotAvailable, kafka.BrokerNotAvailable, kafka.NetworkException,
		kafka.RequestTimedOut:
		return find
	}
	return again // among them GroupLoadInProgress, and codes of later brokers
}

// explain adds to an error that ends the membership how to correct it.
func (m *Member) explain(err error) error {
	if errors.Is(err, kafka.InvalidSessionTimeout) {
		return fmt.Errorf("join group %q: kafka.session_timeout is %s: expected a time between group.min.session.timeout.ms and group.max.session.timeout.ms of the brokers: %w",
			m.cfg.Group, m.cfg.SessionTimeout, err)
	}
	if errors.Is(err, kafka.FencedInstanceID) {
		return fmt.Errorf("join group %q: instance ID %q is used by another member of the group; each replica needs its own: %w", m.cfg.Group, m.cfg.InstanceID, err)
	}
	return fmt.Errorf("join group %q: %w", m.cfg.Group, err)
}
