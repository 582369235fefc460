package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/tlsfile"
	"github.com/clientevents/clientevents/reporter"
	"github.com/clientevents/clientevents/reporter/talent"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// facts returns those of an idle replica with one partition, 7.
func facts() *Facts {
	f := &Facts{
		Now: noon, Leased: true, Topic: "events", DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported", Group: "carriers",
		Partitions: []consumer.PartitionStatus{{Partition: 7, Restored: true}},
		Reporter:   reporter.Status{Gate: reporter.GateStatus{Open: true}},
	}
	f.Readiness.State = consumer.Ready
	return f
}

// fail gives partition 7 a trouble, since 90 s.
func (f *Facts) fail(trouble consumer.Trouble, err error) {
	p := &f.Partitions[0]
	p.Trouble, p.Err, p.TroubleSince = trouble, err, f.Now.Add(-90*time.Second)
	if err != nil {
		p.Detail = err.Error()
	}
}

// close closes the API's gate, since 90 s, and names the pause if it counts as one.
func (f *Facts) close(reason talent.Reason, said, pause string) {
	f.Reporter.Gate = reporter.GateStatus{Reason: reason, Since: f.Now.Add(-90 * time.Second), NextTry: f.Now.Add(30 * time.Second), LastError: said}
	if pause != "" {
		f.Reporter.Paused = []string{pause}
	}
}

func report(f *Facts) Report { return NewTracker(quiet, nil).Report(f) }

// TestFlow: where nothing is wrong, the summary is how fast events flow.
func TestFlow(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Facts)
		level  Level
		want   string // the headline
		also   string // in the detail
	}{
		"flowing": {
			func(f *Facts) { f.Rates = Rates{Reported: 812.4, EndToEnd: 0.25} },
			OK, "Reporting 812 events/s, up to date", "250 ms after it was published",
		},
		"a commit that failed": {
			func(f *Facts) {
				f.Uncommitted = &consumer.Cause{Err: kafka.UnsupportedVersion, Since: noon.Add(-10 * time.Second)}
			},
			OK, "Up to date: nothing to report", "",
		},
		"commits that fail": {
			func(f *Facts) {
				f.Uncommitted = &consumer.Cause{Err: kafka.UnsupportedVersion, Since: noon.Add(-16 * time.Second)}
			},
			Bad, "Offsets can't be committed", "Unsupported Version",
		},
		"records deleted unread": {
			func(f *Facts) {
				f.Loss = consumer.Loss{Offsets: 1500, First: noon.Add(-3 * time.Hour), Last: noon.Add(-59 * time.Minute), Partition: 3, From: 20, To: 26}
			},
			Bad, "The brokers deleted records before they were read", "1,500 offsets were lost since this replica started, the last in partition 3: from 20 to before 26.",
		},
		"records deleted unread an hour ago": {
			func(f *Facts) { f.Loss = consumer.Loss{Offsets: 1500, Last: noon.Add(-time.Hour)} },
			OK, "Up to date: nothing to report", "",
		},
		"behind": {
			func(f *Facts) { f.Rates = Rates{Reported: 4.75, EndToEnd: 3.2} },
			Busy, "Reporting 4.8 events/s, 3.2 s behind", "",
		},
		"behind for the rate limit": {
			func(f *Facts) { f.Rates, f.Reporter.Rate = Rates{Reported: 4.75, EndToEnd: 7200}, 5 },
			Busy, "Reporting 4.8 events/s, 2 h behind", "the rate limit of 5.0/s holds it up",
		},
		"behind for the learned quota": {
			func(f *Facts) {
				f.Rates = Rates{Reported: 4.75, EndToEnd: 7200}
				f.Reporter.Rate, f.Reporter.Learned, f.Reporter.Configured = 5, 5, 50
			},
			Busy, "Reporting 4.8 events/s, 2 h behind", "the API's quota, learned to be about 5.0/s, holds it up",
		},
		"behind for a rate below the learned quota": {
			func(f *Facts) {
				f.Rates = Rates{Reported: 4.75, EndToEnd: 7200}
				f.Reporter.Rate, f.Reporter.Learned, f.Reporter.Configured = 5, 50, 5
			},
			Busy, "Reporting 4.8 events/s, 2 h behind", "the rate limit of 5.0/s holds it up",
		},
		"idle":          {func(*Facts) {}, OK, "Up to date: nothing to report", ""},
		"only children": {func(f *Facts) { f.Backlog = Backlog{Records: 2, Waiting: 2} }, OK, "Up to date: 2 events waiting for parents", ""},
		"nothing moves": {
			func(f *Facts) { f.Backlog = Backlog{Records: 12345} },
			Busy, "Nothing was reported in the last ten seconds", "12,345 records",
		},
		"standing by": {
			func(f *Facts) { f.Partitions, f.Member.Covered = []consumer.PartitionStatus{}, true },
			OK, "Standing by: other replicas have all the partitions", "",
		},
		"without partitions there is no lease": {
			func(f *Facts) { f.Leased, f.Member.Covered, f.Partitions = false, true, []consumer.PartitionStatus{} },
			OK, "Standing by: other replicas have all the partitions", "",
		},
		"a paused partition": {
			func(f *Facts) { f.Partitions[0].Paused, f.Partitions[0].PausedSince = true, noon.Add(-time.Minute) },
			Paused, "Up to date: nothing to report; partition 7 paused by an operator", "",
		},
		"few dead letters": {
			func(f *Facts) {
				f.Recent = Recent{Seconds: 300, Records: 10, DeadLetter: 9, Share: 0.9, Letters: map[string]uint64{"malformed": 9}}
			},
			OK, "Up to date: nothing to report", "",
		},
	} {
		f := facts()
		test.change(f)
		got := report(f).Summary
		if got.Level != test.level || got.Headline != test.want || !strings.Contains(got.Detail, test.also) {
			t.Errorf("%s: got %+v, want level %q, headline %q and %q", name, got, test.level, test.want, test.also)
		}
	}
}

// TestProblems goes through the states that look well from outside, and those whose
// remedy depends on the error.
func TestProblems(t *testing.T) {
	dns := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "broker-1.internal", IsNotFound: true}}
	refusedErr := &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("connect: %w", syscall.ECONNREFUSED)}
	for name, test := range map[string]struct {
		change func(*Facts)
		reason Reason
		want   string // the headline
		detail string
		advice string
	}{
		// The group.
		"unread partitions": {
			func(f *Facts) { f.Member.Unread, f.Member.Fault = true, "no member reads partitions [1]" },
			PartitionsUnread, "No member of the group reads some of the partitions", "No member reads partitions [1].", "group of their own",
		},
		"unread partitions, as the readiness says": {
			func(f *Facts) {
				f.Readiness = consumer.Readiness{State: consumer.Unread, Cause: "no member reads topic t"}
			},
			PartitionsUnread, "No member of the group reads some of the partitions", "No member reads topic t.", "group of their own",
		},
		"a foreign member": {
			func(f *Facts) { f.Member.Fault = "client \"x\x1b[2J\" on host h" },
			GroupFault, "The consumer group has members that do not belong in it", `Client "x\x1b[2J" on host h.`, "group of their own",
		},
		"another protocol in the group": {
			func(f *Facts) {
				err := fmt.Errorf("join: %w", kafka.InconsistentGroupProtocol)
				f.Readiness = consumer.Readiness{Cause: err.Error(), Err: err}
			},
			NotJoined, "Held up: the consumer group can't be joined", "Error: join:", "Another kind of consumer is in this group",
		},
		"a group without room": {
			func(f *Facts) {
				err := fmt.Errorf("join: %w", kafka.GroupMaxSizeReached)
				f.Readiness = consumer.Readiness{Cause: err.Error(), Err: err}
			},
			NotJoined, "Held up: the consumer group can't be joined", "", "raise group.max.size of the brokers",
		},
		"no source topic": {
			func(f *Facts) {
				f.Readiness = consumer.Readiness{Cause: "topic events does not exist", Err: kafka.UnknownTopicOrPartition}
			},
			NotJoined, "Held up: the consumer group can't be joined", "Error: topic events does not exist", "create it with `clientevents topics create`, or correct kafka.topic",
		},
		"a policy on topics": {
			func(f *Facts) {
				f.Readiness = consumer.Readiness{Cause: "create topic", Err: fmt.Errorf("create topic events.reported: %w", kafka.PolicyViolation)}
			},
			NotJoined, "Held up: the consumer group can't be joined", "", "create the topic by hand",
		},
		"an advertised name that does not resolve": {
			func(f *Facts) { f.Readiness = consumer.Readiness{Cause: dns.Error(), Err: dns} },
			NotJoined, "Held up: the consumer group can't be joined", "no such host", "The address broker-1.internal that a broker advertises can't be resolved from here",
		},
		"silent brokers": {
			func(f *Facts) {
				f.Leased = false
				f.fail(consumer.TroubleState, context.DeadlineExceeded)
			},
			BrokersSilent, "Held up: the brokers don't answer", "No broker confirms", "Check the brokers and the network",
		},
		"silent brokers with an error": {
			func(f *Facts) { f.Leased, f.Member.Err = false, refusedErr },
			BrokersSilent, "Held up: the brokers don't answer", "Error: dial tcp", "Nothing listens at the address",
		},
		// Topics.
		"the right to read is gone": {
			func(f *Facts) { f.fail(consumer.TroubleFetch, kafka.TopicAuthorizationFailed) },
			SourceUnreadable, "Held up: records can't be read", "Topic events, partition 7.", "Grant the program's principal Read and Describe on topic events",
		},
		"a source topic that is deleted": {
			func(f *Facts) { f.fail(consumer.TroubleFetch, kafka.UnknownTopicOrPartition) },
			SourceUnreadable, "Held up: records can't be read", "", "Topic events does not exist",
		},
		"a source topic with fewer partitions than before": {
			func(f *Facts) {
				f.fail(consumer.TroubleFetch, &kafkalog.NoPartitionError{Topic: "events", Partition: 7, Has: 1})
			},
			SourceUnreadable, "Held up: records can't be read", "partition 7 of topic events does not exist: the topic has 1 partition", "Topic events was recreated with fewer partitions",
		},
		"a state topic with too few partitions": {
			func(f *Facts) {
				f.fail(consumer.TroubleRestore, &kafkalog.NoPartitionError{Topic: "events.reported", Partition: 7, Has: 3})
			},
			StateUnreadable, "Held up: the state topic can't be read", "the topic has 3 partitions", "--alter --topic events.reported --partitions N",
		},
		"a state topic of two groups": {
			func(f *Facts) {
				f.fail(consumer.TroubleRestore, &consumer.SharedStateError{Topic: "events.reported", Group: "carriers", Other: "staging"})
			},
			StateUnreadable, "Held up: the state topic can't be read", "replicas of group staging record reported events", "Set kafka.state_topic of one of the two groups",
		},
		"a state topic that forgets": {
			func(f *Facts) {
				unfit := &consumer.UnfitTopicError{Topic: "events.reported", Reason: "it deletes after 1h0m0s"}
				f.State.Unfit = &consumer.Cause{Err: unfit, Since: noon.Add(-90 * time.Second)}
			},
			StateUnfit, "The state topic forgets reported IDs too soon", "Since 11:58:30 UTC (90 s). Topic events.reported: it deletes after 1h0m0s.", "cleanup.policy=[compact,delete]",
		},
		"a state topic that lost IDs": {
			func(f *Facts) {
				f.State.Rewriting = &consumer.Rewriting{Partitions: []int32{3, 7}, Cause: &consumer.Cause{Err: kafka.InvalidTimestamp}}
			},
			StateRewriting, "Writing reported IDs to the state topic again, since it has lost them", "Waiting: partitions 3, 7. Error:", "message.timestamp.before.max.ms",
		},
		"a state topic that another group begins to use": {
			func(f *Facts) {
				f.State.Sharing = &consumer.Sharing{Group: "staging", Partitions: []int32{7}, Since: noon.Add(-90 * time.Second)}
			},
			StateShared, "Replicas of another group use the same state topic", "Since 11:58:30 UTC (90 s). Group staging writes to topic events.reported, partition 7.", "a topic of its own",
		},
		"corrupt data": {
			func(f *Facts) { f.fail(consumer.TroubleFetch, errors.Join(errors.New("x"), io.EOF)) },
			SourceUnreadable, "Held up: records can't be read", "Error: x", "kafka.tls.enabled",
		},
		"a broker's clock that is behind, while it starts": {
			func(f *Facts) {
				f.Readiness = consumer.Readiness{State: consumer.Restoring, Partitions: []int32{7}}
				f.fail(consumer.TroubleState, kafka.InvalidTimestamp)
			},
			StateUnwritable, "Held up: the state topic can't be written", "Topic events.reported, partition 7.", "The clocks of this machine and of the brokers differ",
		},
		"too few replicas": {
			func(f *Facts) { f.fail(consumer.TroubleState, fmt.Errorf("write: %w", kafka.NotEnoughReplicas)) },
			StateUnwritable, "Held up: the state topic can't be written", "Since 11:58:30 UTC (90 s).", "Too few replicas are in sync",
		},
		"a state topic that can't be read": {
			func(f *Facts) { f.fail(consumer.TroubleRestore, kafka.TopicAuthorizationFailed) },
			StateUnreadable, "Held up: the state topic can't be read", "", "Read and Describe on topic events.reported",
		},
		"a dead-letter topic that is deleted": {
			func(f *Facts) { f.fail(consumer.TroubleDeadLetters, kafka.UnknownTopicOrPartition) },
			LettersUnwritable, "Held up: the dead-letter topic can't be written", "Topic events.dead-letter, partition 7.", "Topic events.dead-letter does not exist any more: create it with `clientevents topics create`",
		},
		"a dead-letter topic with a small limit": {
			func(f *Facts) {
				f.fail(consumer.TroubleDeadLetters, &consumer.LettersFault{Letters: 3, Bytes: 2000, Limit: "100"})
			},
			LettersTooLarge, "Dead letters do not fit in the dead-letter topic", "3 dead letters of up to 2000 bytes are above max.message.bytes", "Raise max.message.bytes of the dead-letter topic",
		},
		"a certificate that is not trusted": {
			func(f *Facts) {
				f.fail(consumer.TroubleFetch, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}})
			},
			SourceUnreadable, "Held up: records can't be read", "", "correct kafka.tls.ca_file",
		},
		"no schema registry": {
			func(f *Facts) {
				f.SchemaRegistry = "GET http://registry: connection refused"
				f.fail(consumer.TroubleDecode, errors.New("connection refused"))
			},
			RegistryFailing, "The schema registry can't be used", "Waiting: partition 7. Error: GET http://registry: connection refused", "Check input.registry.url",
		},
		"throttled, and a topic can't be written": {
			func(f *Facts) {
				f.Throttled = time.Second
				f.fail(consumer.TroubleState, kafka.KafkaStorageError)
			},
			StateUnwritable, "Held up: the state topic can't be written", "partition 7", "A broker can't use its disk",
		},
		"an internal topic that can't be written": {
			func(f *Facts) {
				f.ByRequestTopic = "events.by-request"
				f.SourcePartitions = []consumer.PartitionStatus{{Partition: 3, Trouble: consumer.TroubleByRequest, Err: kafka.NotEnoughReplicas, TroubleSince: noon}}
			},
			ByRequestUnwritable, "Held up: the internal topic of input.rekey can't be written", "Topic events.by-request, partition 3.", "Too few replicas are in sync",
		},
		"an open transaction": {
			func(f *Facts) {
				f.fail(consumer.TroubleTransaction, nil)
				f.Partitions[0].Detail = "a transaction that begins at offset 5 has been open since 12:00"
			},
			OpenTransaction, "Held up: a producer's transaction is open", "partition 7. A transaction that begins at offset 5 has been open since 12:00.", "kafka-transactions.sh",
		},
		// The API.
		"credentials": {
			func(f *Facts) { f.close(talent.Unauthenticated, "401", "auth") },
			APICredentials, "Paused: the API refuses the credentials", "Since 11:58:30 UTC (90 s). The next try is in 30 s. It said: 401", "api.credentials",
		},
		"no token": {
			func(f *Facts) {
				f.Reporter.Paused, f.Reporter.TokenError = []string{"auth"}, "500 Internal Server Error"
			},
			NoToken, "Paused: there is no access token", "It said: 500 Internal Server Error", "token server",
		},
		"no token, and the last one ended on its way": {
			func(f *Facts) {
				f.close(talent.Unauthenticated, "401", "auth")
				f.Reporter.TokenError, f.Reporter.TokenExpiry = "500 Internal Server Error", noon.Add(-90*time.Second)
			},
			NoToken, "Paused: there is no access token", "It said: 500 Internal Server Error", "",
		},
		"a token that is refused while none replaces it": {
			func(f *Facts) {
				f.close(talent.Unauthenticated, "401", "auth")
				f.Reporter.TokenError, f.Reporter.TokenExpiry = "500 Internal Server Error", noon.Add(time.Minute)
			},
			APICredentials, "Paused: the API refuses the credentials", "It said: 401", "",
		},
		"forbidden":   {func(f *Facts) { f.close(talent.Forbidden, "403", "forbidden") }, APIForbidden, "Paused: the account may not create events", "It said: 403", "Talent Solution role"},
		"quota":       {func(f *Facts) { f.close(talent.Throttled, "429", "throttled") }, APIThrottled, "Paused: the quota is used up", "", "report.rate"},
		"unavailable": {func(f *Facts) { f.close(talent.Unavailable, "503", "unavailable") }, APIUnavailable, "Paused: the API is not available (503)", "", ""},
		"unreachable": {func(f *Facts) { f.close(talent.Network, "connection refused", "unavailable") }, APIUnreachable, "Paused: the API can't be reached", "It said: connection refused", "api.endpoint"},
		"rejections": {
			func(f *Facts) { f.Reporter.Paused, f.Reporter.Held = []string{"rejections"}, 20 },
			APIRejectsAll, "Paused: the API rejects every event permanently", "20 events held.", "api.parent",
		},
		// Records.
		"every record a dead letter": {
			func(f *Facts) {
				f.Recent = Recent{Seconds: 20, Records: 56, DeadLetter: 56, Share: 1, Letters: map[string]uint64{"malformed": 50, "unknown_field": 6}}
			},
			DeadLetterShare, "100 % of the records become dead letters, most for malformed", "56 of 56 records in the last 20 s: malformed 50, unknown_field 6.", "`clientevents dead-letters list --newest --reason malformed`",
		},
		"nothing has an outcome": {
			func(f *Facts) { f.Backlog.Records, f.Recent.Quiet = 23, 2*time.Minute },
			Stalled, "No record has had an outcome for over a minute", "23 records have no outcome.", "clientevents check",
		},
	} {
		f := facts()
		test.change(f)
		r := report(f)
		got := r.Summary
		if got.Reason != test.reason || got.Level != Bad || got.Headline != test.want || !strings.Contains(got.Detail, test.detail) || !strings.Contains(got.Advice, test.advice) {
			t.Errorf("%s: got\n %+v\nwant %s, %q, %q and %q", name, got, test.reason, test.want, test.detail, test.advice)
		}
		if got.Affects == "" || got.Advice == "" || got.Since.IsZero() {
			t.Errorf("%s: it does not say since when, what it affects or what to do: %+v", name, got)
		}
	}
}

// TestPassing: states that pass by themselves are not bad.
func TestPassing(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Facts)
		level  Level
		want   string
		detail string
	}{
		"without partitions, and not proven to stand by": {
			func(f *Facts) { f.Partitions = []consumer.PartitionStatus{} },
			Busy, "No partition is assigned to this replica", "",
		},
		"throttled by the broker": {
			func(f *Facts) {
				f.Throttled = 1250 * time.Millisecond
				f.fail(consumer.TroubleFetch, nil)
			},
			Busy, "Throttled by the broker", "in 1.2 s",
		},
		"draining": {
			func(f *Facts) { f.Readiness.State, f.InFlight = consumer.Draining, 1 },
			Paused, "Draining: finishing the events in flight", "1 event in flight",
		},
		"joining": {
			func(f *Facts) { f.Readiness, f.Partitions = consumer.Readiness{}, nil },
			Busy, "Joining the consumer group", "",
		},
		"reading state": {
			func(f *Facts) {
				f.Readiness = consumer.Readiness{State: consumer.Restoring, Partitions: []int32{1}}
				f.Partitions[0].Remaining = 5000
			},
			Busy, "Starting: reading the state of partitions 1", "5,000 state records",
		},
		"too short for a pause": {
			func(f *Facts) { f.close(talent.Throttled, "429", "") },
			Busy, "Waiting: the API throttles", "Since 11:58:30 UTC (90 s)",
		},
		"paused, whatever else is wrong": {
			func(f *Facts) {
				f.Operator = Operator{Paused: true, Since: noon.Add(-time.Minute), By: "10.0.0.1"}
				f.close(talent.Unavailable, "503", "unavailable")
			},
			Paused, "Paused by an operator: this replica fetches and sends nothing", "Since 11:59:00 UTC (60 s). Requested by 10.0.0.1.",
		},
		"an invalid configuration": {
			func(f *Facts) { f.Reload.Error = "report.rate: -1: expected 0 or more" },
			Busy, "The changed configuration is invalid; the previous one stays in force", "Error: report.rate: -1",
		},
		"a configuration that needs a restart": {
			func(f *Facts) { f.Reload = Reload{Error: "kafka.topic", NeedsRestart: true} },
			Busy, "The changed configuration needs a restart; the previous one stays in force", "Error: kafka.topic",
		},
		"different configurations": {
			func(f *Facts) { f.Member.ConfigDiffers, f.Config = true, "abc" },
			Busy, "Replicas of the group have different configurations", "This one's is abc",
		},
		"a certificate that expires": {
			func(f *Facts) {
				f.Certificates = []tlsfile.Expiry{{Key: "kafka.tls.cert_file", Subject: "CN=x", Expires: noon.Add(30 * time.Hour)}}
			},
			Busy, "The certificate of kafka.tls.cert_file expires in 30 h", "CN=x, 2026-01-03T18:00:00Z.",
		},
		"a certificate that has expired": {
			func(f *Facts) {
				f.Certificates = []tlsfile.Expiry{{Key: "kafka.tls.cert_file", Expires: noon.Add(-time.Hour)}}
			},
			Busy, "The certificate of kafka.tls.cert_file has expired", "",
		},
		"drained": {func(f *Facts) { f.Operator.Drained = true }, Paused, "Drained: this replica has left the group and does nothing", ""},
	} {
		f := facts()
		test.change(f)
		got := report(f).Summary
		if got.Level != test.level || got.Headline != test.want || !strings.Contains(got.Detail, test.detail) {
			t.Errorf("%s: got\n %+v\nwant %s, %q and %q", name, got, test.level, test.want, test.detail)
		}
	}
}

// TestEverythingIsExplained: whatever the reporter and the consumer call a trouble has a
// reason with a text that says what to do.
func TestEverythingIsExplained(t *testing.T) {
	for _, reason := range talent.Reasons() {
		p := apiReasons[reason]
		if p == "" || short[p] == "" || texts[p].headline == "" || texts[p].advice == "" {
			t.Errorf("the gate's reason %q is not explained", reason)
		}
	}
	for _, trouble := range consumer.Troubles() {
		if text := texts[troubleReasons[trouble]]; text.headline == "" || text.advice == "" || text.affects == "" {
			t.Errorf("the trouble %q has the text %+v", trouble, text)
		}
	}
	for _, name := range reporter.Pauses() {
		f := facts()
		f.Reporter.Paused = []string{name}
		if name == "operator" {
			f.Operator.Paused = true
		}
		if name != "operator" && name != "rejections" && name != "auth" {
			continue // a closed gate, which TestProblems closes
		}
		if s := report(f).Summary; s.Level == OK || s.Advice == "" {
			t.Errorf("nothing says what the pause %q means: %+v", name, s)
		}
	}
	for _, state := range consumer.ReadyStates() {
		f := facts()
		f.Readiness, f.Operator.Drained = consumer.Readiness{State: state, Cause: "a cause"}, state == consumer.Drained
		if s := report(f).Summary; !f.Readiness.Ready() && s.Level == OK {
			t.Errorf("the summary does not explain a replica that is not ready: %s", f.Readiness)
		}
	}
}

func TestTexts(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q: want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 14 * time.Millisecond: "14 ms", 3200 * time.Millisecond: "3.2 s",
		59 * time.Second: "59 s", 3 * time.Minute: "3 min", 50 * time.Hour: "50 h",
	} {
		if got := Lasting(d); got != want {
			t.Errorf("Lasting(%v) = %q: want %q", d, got, want)
		}
	}
	for share, want := range map[float64]string{0: "0 %", 0.0123: "1.2 %", 0.5: "50 %", 1: "100 %"} {
		if got := Percent(share); got != want {
			t.Errorf("Percent(%v) = %q: want %q", share, got, want)
		}
	}
}
