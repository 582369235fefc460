package health

import (
	"errors"
	"fmt"
	"time"

	"github.com/clientevents/clientevents/consumer"
)

func ofOperator(f *Facts) []Problem {
	switch {
	case f.Operator.Drained:
		return []Problem{{Reason: Drained, Level: Paused}}
	case f.Operator.Paused:
		p := Problem{Reason: PausedByOperator, Level: Paused, Since: f.Operator.Since}
		if f.Operator.By != "" {
			p.facts = "Requested by " + f.Operator.By + "."
		}
		return []Problem{p}
	}
	return nil
}

// ofGroup finds members that do not belong in the group.
func ofGroup(f *Facts) []Problem {
	switch {
	case f.Member.Unread:
		return []Problem{{Reason: PartitionsUnread, facts: sentence(f.Member.Fault), slot: "group"}}
	case f.Readiness.State == consumer.Unread:
		return []Problem{{Reason: PartitionsUnread, facts: sentence(f.Readiness.Cause), slot: "group"}}
	case f.Member.Fault != "":
		return []Problem{{Reason: GroupFault, facts: sentence(f.Member.Fault), slot: "group"}}
	}
	return nil
}

func ofMembership(f *Facts) []Problem {
	switch r := f.Readiness; r.State {
	case consumer.Draining:
		return []Problem{{Reason: Draining, Level: Paused, facts: inFlight(f)}}
	case consumer.Joining:
		if r.Cause == "" {
			return []Problem{{Reason: Joining, Level: Busy}}
		}
		p := Problem{Reason: NotJoined, Said: r.Cause, slot: "group"}
		f.explain(&p, r.Err, Place{Operation: joining, Topic: f.Topic})
		return []Problem{p}
	case consumer.Restoring:
		return []Problem{{
			Reason: Restoring, Level: Busy, Headline: "Starting: " + r.String(),
			facts: fmt.Sprintf("%s state records remain.", Count(remaining(f.Partitions))),
		}}
	case consumer.Ready, consumer.Unread, consumer.Drained:
	}
	if f.Partitions != nil && len(f.Partitions) == 0 && !f.Member.Covered && f.Readiness.State == consumer.Ready {
		return []Problem{{Reason: NoPartitions, Level: Busy}}
	}
	return nil
}

// ofLease finds brokers that fell silent, before the requests to them time out.
func ofLease(f *Facts) []Problem {
	if f.Leased || len(f.Partitions) == 0 {
		return nil
	}
	p := Problem{Reason: BrokersSilent, facts: "No broker confirms that the partitions are still this replica's."}
	if err := f.Member.Err; err != nil {
		p.Said = err.Error()
		f.explain(&p, err, Place{Operation: joining, Topic: f.Topic})
	}
	return []Problem{p}
}

// troubleReasons are the problems that the troubles of partitions make.
var troubleReasons = map[consumer.Trouble]Reason{
	consumer.TroubleState:       StateUnwritable,
	consumer.TroubleRestore:     StateUnreadable,
	consumer.TroubleDeadLetters: LettersUnwritable,
	consumer.TroubleByRequest:   ByRequestUnwritable,
	consumer.TroubleFetch:       SourceUnreadable,
	consumer.TroubleDecode:      RecordUndecoded,
	consumer.TroubleTransaction: OpenTransaction,
}

// ofTopics finds the troubles of partitions: one problem for all partitions that have
// the same one for the same cause.
func ofTopics(f *Facts) (all []Problem) {
	if f.SourcePartitions == nil {
		return ofTopic(f)
	}
	first, second := *f, *f
	first.Partitions, second.Topic = f.SourcePartitions, f.ByRequestTopic
	return append(ofTopic(&first), ofTopic(&second)...)
}

// ofTopic finds the troubles of the partitions of one topic.
func ofTopic(f *Facts) (all []Problem) {
	for _, trouble := range consumer.Troubles() {
		if trouble == consumer.TroubleDecode && f.SchemaRegistry != "" {
			continue // see ofRegistry
		}
		for _, same := range sameCause(f, trouble) {
			if trouble == consumer.TroubleFetch && f.Throttled > 0 && same[0].Err == nil {
				continue // it is the brokers' quota
			}
			all = append(all, f.ofTrouble(trouble, same))
		}
	}
	return all
}

// sameCause returns the partitions with a trouble, grouped by the class of its cause.
func sameCause(f *Facts, trouble consumer.Trouble) (groups [][]*consumer.PartitionStatus) {
	at := map[class]int{}
	for i := range f.Partitions {
		p := &f.Partitions[i]
		if p.Trouble != trouble {
			continue
		}
		c := classify(p.Err)
		n, ok := at[c]
		if !ok {
			n = len(groups)
			at[c], groups = n, append(groups, nil)
		}
		groups[n] = append(groups[n], p)
	}
	return groups
}

func (f *Facts) ofTrouble(trouble consumer.Trouble, same []*consumer.PartitionStatus) Problem {
	first := same[0]
	p := Problem{Reason: troubleReasons[trouble], Since: first.TroubleSince, Said: first.Detail}
	ids := make([]int32, len(same))
	for i, s := range same {
		ids[i] = s.Partition
		if s.TroubleSince.Before(p.Since) {
			p.Since = s.TroubleSince
		}
	}
	place := Place{Operation: read, Topic: f.Topic}
	switch trouble {
	case consumer.TroubleState:
		place = Place{Operation: write, Topic: f.StateTopic}
	case consumer.TroubleRestore:
		place = Place{Operation: read, Topic: f.StateTopic}
	case consumer.TroubleDeadLetters:
		place = Place{Operation: write, Topic: f.DeadLetterTopic}
	case consumer.TroubleByRequest:
		place = Place{Operation: write, Topic: f.ByRequestTopic}
	case consumer.TroubleFetch, consumer.TroubleDecode, consumer.TroubleTransaction:
	}
	if _, tooLarge := errors.AsType[*consumer.LettersFault](first.Err); tooLarge {
		p.Reason = LettersTooLarge
	}
	p.facts = fmt.Sprintf("Topic %s, %s.", place.Topic, partitionsText(ids))
	if trouble == consumer.TroubleTransaction {
		p.facts, p.Said = join(p.facts, sentence(p.Said)), "" // our own words
	}
	if trouble != consumer.TroubleDecode {
		f.explain(&p, first.Err, place)
	}
	return p
}

// uncommittedFor is for how long commits may fail before that is a problem. A coordinator
// that moves is found sooner.
const uncommittedFor = 15 * time.Second

func ofCommits(f *Facts) []Problem {
	if f.Uncommitted == nil || f.Now.Sub(f.Uncommitted.Since) < uncommittedFor || len(f.Partitions) == 0 || !f.Leased {
		return nil
	}
	p := Problem{Reason: OffsetsUncommitted, Since: f.Uncommitted.Since, Said: f.Uncommitted.Err.Error(), facts: "Group " + f.Group + "."}
	f.explain(&p, f.Uncommitted.Err, Place{Operation: joining, Topic: f.Topic})
	return []Problem{p}
}

// lossShown is for how long a loss of records is a problem after it was noticed.
const lossShown = time.Hour

func ofLoss(f *Facts) []Problem {
	l := &f.Loss
	if l.Last.IsZero() || f.Now.Sub(l.Last) >= lossShown {
		return nil
	}
	return []Problem{{Reason: RecordsLost, Since: l.First, facts: fmt.Sprintf(
		"%s offsets were lost since this replica started, the last in partition %d: from %d to before %d.", Count(l.Offsets), l.Partition, l.From, l.To)}}
}

// ofState finds a state topic that does not keep what it has to.
func ofState(f *Facts) (all []Problem) {
	if c := f.State.Unfit; c != nil {
		all = append(all, Problem{Reason: StateUnfit, Since: c.Since, facts: sentence(c.Err.Error())})
	}
	if s := f.State.Sharing; s != nil {
		all = append(all, Problem{Reason: StateShared, Since: s.Since, facts: fmt.Sprintf("Group %s writes to topic %s, %s.", s.Group, f.StateTopic, partitionsText(s.Partitions))})
	}
	if r := f.State.Rewriting; r != nil {
		p := Problem{Reason: StateRewriting, Level: Busy, facts: "Waiting: " + partitionsText(r.Partitions) + "."}
		if r.Cause != nil {
			p.Level, p.Said = Bad, r.Cause.Err.Error()
			f.explain(&p, r.Cause.Err, Place{Operation: write, Topic: f.StateTopic})
		}
		all = append(all, p)
	}
	return all
}

func ofRegistry(f *Facts) []Problem {
	if f.SchemaRegistry == "" {
		return nil
	}
	p := Problem{Reason: RegistryFailing, Said: f.SchemaRegistry}
	var ids []int32
	decoding := f.Partitions
	if f.SourcePartitions != nil {
		decoding = f.SourcePartitions
	}
	for i := range decoding {
		if s := &decoding[i]; s.Trouble == consumer.TroubleDecode {
			ids = append(ids, s.Partition)
			if !s.TroubleSince.IsZero() && (p.Since.IsZero() || s.TroubleSince.Before(p.Since)) {
				p.Since = s.TroubleSince
			}
		}
	}
	if len(ids) > 0 {
		p.facts = sentence("waiting: " + partitionsText(ids))
	}
	return []Problem{p}
}

// ofReload finds a changed configuration that is not in force.
func ofReload(f *Facts) []Problem {
	if f.Reload.Error == "" {
		return nil
	}
	p := Problem{Reason: ConfigInvalid, Level: Busy, Said: f.Reload.Error, slot: "config"}
	if f.Reload.NeedsRestart {
		p.Reason = ConfigNeedsRestart
	}
	return []Problem{p}
}

// ofDrift finds replicas with different configurations.
func ofDrift(f *Facts) []Problem {
	if !f.Member.ConfigDiffers {
		return nil
	}
	return []Problem{{Reason: ConfigDiffers, Level: Busy, facts: "This one's is " + f.Config + "; group.members of /status has the others'."}}
}

// ExpiresSoon is how long before its expiry a certificate is a reason to act, as for the
// alert ClientEventsCertificateExpiresSoon.
const ExpiresSoon = 14 * 24 * time.Hour

// ofCertificates finds a certificate that expires soon, or has expired.
func ofCertificates(f *Facts) (all []Problem) {
	for _, c := range f.Certificates {
		left := c.Expires.Sub(f.Now)
		if left > ExpiresSoon {
			continue
		}
		p := Problem{
			Reason: CertificateExpires, Level: Busy, Headline: "The certificate of " + c.Key + " expires in " + Lasting(left),
			facts: c.Subject + ", " + c.Expires.UTC().Format(time.RFC3339) + ".", slot: "certificate/" + c.Key, cause: "soon",
		}
		if left <= 0 {
			p.Headline, p.cause = "The certificate of "+c.Key+" has expired", "expired"
		}
		all = append(all, p)
	}
	return all
}

// ofThrottling finds the brokers' quota, which delays fetches and writes.
func ofThrottling(f *Facts) []Problem {
	if f.Throttled <= 0 {
		return nil
	}
	return []Problem{{
		Reason: BrokerThrottled, Level: Busy,
		facts: fmt.Sprintf("The next request may be sent in %.1f s.", f.Throttled.Seconds()),
	}}
}

func ofPausedPartitions(f *Facts) []Problem {
	if f.Operator.Paused {
		return nil
	}
	var ids []int32
	var since time.Time
	for i := range f.Partitions {
		if p := &f.Partitions[i]; p.Paused {
			ids = append(ids, p.Partition)
			if since.IsZero() || p.PausedSince.Before(since) {
				since = p.PausedSince
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return []Problem{{Reason: PartitionsPaused, Level: Paused, Since: since, Headline: sentenceless(partitionsText(ids)) + " paused by an operator"}}
}

// sentenceless begins a text with a capital letter.
func sentenceless(s string) string {
	s = sentence(s)
	return s[:len(s)-1]
}

func inFlight(f *Facts) string {
	return fmt.Sprintf("%s in flight, %s pending.", Events(f.InFlight), Count(int64(f.Pending)))
}

func remaining(partitions []consumer.PartitionStatus) (n int64) {
	for i := range partitions {
		n += partitions[i].Remaining
	}
	return n
}
