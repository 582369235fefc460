package health

import (
	"maps"
	"slices"
	"time"
)

// Reason identifies a kind of problem, in /status, in the log and as a label of
// clientevents_problem_since_timestamp_seconds.
type Reason string

// The reasons.
const (
	Drained          Reason = "drained"
	Draining         Reason = "draining"
	PausedByOperator Reason = "paused_by_operator"
	PartitionsPaused Reason = "partitions_paused"

	PartitionsUnread Reason = "partitions_unread"
	GroupFault       Reason = "group_fault"
	NotJoined        Reason = "not_joined"
	Joining          Reason = "joining"
	Restoring        Reason = "restoring"
	NoPartitions     Reason = "no_partitions"
	BrokersSilent    Reason = "brokers_silent"
	BrokerThrottled  Reason = "broker_throttled"

	SourceUnreadable    Reason = "source_unreadable"
	StateUnreadable     Reason = "state_topic_unreadable"
	StateUnwritable     Reason = "state_topic_unwritable"
	StateUnfit          Reason = "state_topic_unfit"
	StateShared         Reason = "state_topic_shared"
	StateRewriting      Reason = "state_topic_rewriting"
	LettersUnwritable   Reason = "dead_letter_topic_unwritable"
	ByRequestUnwritable Reason = "by_request_topic_unwritable"
	LettersTooLarge     Reason = "dead_letters_too_large"
	RecordUndecoded     Reason = "record_undecoded"
	RegistryFailing     Reason = "schema_registry_unavailable"
	OpenTransaction     Reason = "open_transaction"
	OffsetsUncommitted  Reason = "offsets_uncommitted"
	RecordsLost         Reason = "records_lost"

	ConfigInvalid      Reason = "config_invalid"
	ConfigNeedsRestart Reason = "config_needs_restart"
	ConfigDiffers      Reason = "config_differs"
	CertificateExpires Reason = "certificate_expires"

	APIRejectsAll   Reason = "api_rejects_all"
	APICredentials  Reason = "api_unauthenticated"
	NoToken         Reason = "no_access_token"
	APIForbidden    Reason = "api_forbidden"
	APIThrottled    Reason = "api_throttled"
	APIUnavailable  Reason = "api_unavailable"
	APIServerError  Reason = "api_server_error"
	APITimeout      Reason = "api_timeout"
	APIUnreachable  Reason = "api_unreachable"
	APIBadAnswer    Reason = "api_bad_answer"
	DeadLetterShare Reason = "dead_letters"
	Stalled         Reason = "stalled"
)

// Reasons returns all reasons, sorted.
func Reasons() []Reason { return slices.Sorted(maps.Keys(texts)) }

// text is what is always true of a reason. Advice that depends on the error is in
// cause.go.
type text struct {
	headline, affects, advice string
	ordinary                  bool
	// lingers is for how long the problem must be absent before it counts as ended: one
	// that comes and goes by the second has one line.
	lingers time.Duration
}

const (
	eventsWait  = "Events wait; none is lost as long as the source topic keeps them."
	byItself    = "It is tried again without a restart."
	onlyMembers = "Only replicas of this program that read the same topic may be members of the group: give other consumers a group of their own."
)

var texts = map[Reason]text{
	Drained:          {headline: "Drained: this replica has left the group and does nothing", affects: "Other replicas read its partitions, if there are any.", advice: "Stop the process.", ordinary: true},
	Draining:         {headline: "Draining: finishing the events in flight", ordinary: true},
	PausedByOperator: {headline: "Paused by an operator: this replica fetches and sends nothing", affects: "The events of its partitions wait. Partitions that move to other replicas are not paused.", advice: "Resume it with `clientevents admin resume`, or on this page.", ordinary: true},
	PartitionsPaused: {affects: "The events of these partitions wait.", advice: "Resume them with `clientevents admin resume --partition N`, or on this page.", ordinary: true},

	PartitionsUnread: {headline: "No member of the group reads some of the partitions", affects: "The events of these partitions wait.", advice: onlyMembers, ordinary: true},
	GroupFault:       {headline: "The consumer group has members that do not belong in it", affects: "Partitions that they are assigned are read by no replica.", advice: onlyMembers, ordinary: true},
	NotJoined:        {headline: "Held up: the consumer group can't be joined", affects: "This replica reads nothing.", advice: "Run `clientevents check`, which examines all that the replica needs."},
	Joining:          {headline: "Joining the consumer group", affects: "This replica reads nothing yet.", advice: "If this lasts for more than a minute, run `clientevents check`.", ordinary: true},
	Restoring:        {affects: "The events of these partitions wait until it is read.", ordinary: true},
	NoPartitions:     {headline: "No partition is assigned to this replica", affects: "Whether other replicas read all partitions is not known yet.", advice: "If this lasts for more than a minute, run `clientevents check`.", ordinary: true},
	BrokersSilent:    {headline: "Held up: the brokers don't answer", affects: "This replica sends nothing, since other replicas may have its partitions by now.", advice: "Check the brokers and the network to them. " + byItself},
	BrokerThrottled:  {headline: "Throttled by the broker", affects: "Fetches and writes are delayed.", advice: "The brokers limit this client by a quota (consumer_byte_rate, producer_byte_rate or request_percentage). Raise it if events arrive faster.", lingers: 30 * time.Second},

	SourceUnreadable:    {headline: "Held up: records can't be read", affects: eventsWait, advice: "Run `clientevents check`. " + byItself},
	StateUnreadable:     {headline: "Held up: the state topic can't be read", affects: eventsWait + " Nothing is sent before it is known which events were reported.", advice: "Run `clientevents check`. " + byItself},
	StateUnwritable:     {headline: "Held up: the state topic can't be written", affects: "Nothing more is sent, since outcomes can't be recorded. A crash now would report the events in flight again.", advice: "Run `clientevents check`. " + byItself},
	StateUnfit:          {headline: "The state topic forgets reported IDs too soon", affects: "Events are reported. One that comes again within dedupe.window is reported twice if its partition has moved or its replica was restarted, and no replica can start.", advice: "Correct the topic's settings: `kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config cleanup.policy=[compact,delete],retention.ms=N`, with an N of dedupe.window in milliseconds or more. The replica notices within 15 seconds."},
	StateShared:         {headline: "Replicas of another group use the same state topic", affects: "Each group takes events of the other for its own when partitions move: some are reported twice, and some are not.", advice: "Set kafka.state_topic of one of the two groups to a topic of its own, or stop the replicas of the other group."},
	StateRewriting:      {headline: "Writing reported IDs to the state topic again, since it has lost them", affects: "Events are reported. If a replica is killed now, its events of the last dedupe.window are reported twice if they come again.", advice: "Stop no replica before this is over. " + byItself},
	LettersUnwritable:   {headline: "Held up: the dead-letter topic can't be written", affects: "Dead letters wait, and so do the offsets after them.", advice: "Run `clientevents check`. " + byItself},
	ByRequestUnwritable: {headline: "Held up: the internal topic of input.rekey can't be written", affects: eventsWait, advice: "Run `clientevents check`. " + byItself},
	LettersTooLarge:     {headline: "Dead letters do not fit in the dead-letter topic", affects: "These dead letters wait, and so do the offsets after them; others are written.", advice: "Raise max.message.bytes of the dead-letter topic."},
	RecordUndecoded:     {headline: "Held up: a record can't be decoded at the moment", affects: "The records after it in the same partition wait.", advice: "Make the schema registry of input.registry.url available. " + byItself},
	RegistryFailing:     {headline: "The schema registry can't be used", affects: "Records with a schema that is not known yet wait.", advice: "Check input.registry.url, its login and the network to it. " + byItself},
	OpenTransaction:     {headline: "Held up: a producer's transaction is open", affects: "The records after it can't be read before the transaction ends.", advice: "Find the producer, and end its transaction: `kafka-transactions.sh find-hanging` and `abort`. The broker aborts it after the producer's transaction.timeout.ms.", ordinary: true},
	OffsetsUncommitted:  {headline: "Offsets can't be committed", affects: "Events are reported and recorded. A restart reads their records again, and reports none twice.", advice: "Run `clientevents check`. " + byItself},
	RecordsLost:         {headline: "The brokers deleted records before they were read", affects: "The events of these records are not reported. Reading continues after them.", advice: "Raise retention.ms or retention.bytes of the source topic above the longest lag. If the producers keep their events, publish those again: none is reported twice within dedupe.window.", ordinary: true},

	ConfigInvalid:      {headline: "The changed configuration is invalid; the previous one stays in force", affects: "The changes have no effect; the next start fails.", advice: "Correct the file.", ordinary: true},
	ConfigNeedsRestart: {headline: "The changed configuration needs a restart; the previous one stays in force", affects: "The changes have no effect yet.", advice: "Restart the replicas, or undo the change.", ordinary: true},

	ConfigDiffers:      {headline: "Replicas of the group have different configurations", affects: "Which rules an event meets depends on its partition.", advice: "Unless a rollout is under way, compare `clientevents admin config` of the replicas.", ordinary: true},
	CertificateExpires: {affects: "New connections fail when it has expired.", advice: "Replace the file. It is used for new connections without a restart."},

	APIRejectsAll:   {headline: "Paused: the API rejects every event permanently", affects: "Rejected events are held, not dead-lettered: so many in a row are not the events' fault. One event at a time is tried.", advice: "Check that api.parent exists, that the API serves api.version and is enabled in the project, and that no proxy answers in its place.", ordinary: true},
	APICredentials:  {headline: "Paused: the API refuses the credentials", affects: eventsWait, advice: "Correct the credentials that api.credentials names. A replaced key file is read without a restart."},
	NoToken:         {headline: "Paused: there is no access token", affects: eventsWait, advice: "Correct the credentials that api.credentials names, or make the token server reachable. It is tried again every few seconds."},
	APIForbidden:    {headline: "Paused: the account may not create events", affects: eventsWait, advice: "Enable the API in the project, and grant the account a Talent Solution role there. " + byItself},
	APIThrottled:    {headline: "Paused: the quota is used up", affects: eventsWait, advice: "Ask Google for more quota, or set report.rate to the quota that there is. More replicas do not help."},
	APIUnavailable:  {headline: "Paused: the API is not available (503)", affects: eventsWait, advice: "Check Google's status page, and any proxy between. " + byItself},
	APIServerError:  {headline: "Paused: the API fails (5xx)", affects: eventsWait, advice: "Check Google's status page, and any proxy between. " + byItself},
	APITimeout:      {headline: "Paused: the API does not answer in time", affects: eventsWait, advice: "Check the network, and whether api.timeout is long enough. " + byItself},
	APIUnreachable:  {headline: "Paused: the API can't be reached", affects: eventsWait, advice: "Check api.endpoint, DNS, the firewall and any proxy between. " + byItself},
	APIBadAnswer:    {headline: "Paused: the endpoint does not answer as the API does", affects: eventsWait, advice: "Check api.endpoint, and whether a proxy or a login page answers in its place. " + byItself},
	DeadLetterShare: {affects: "These records are not reported unless they are replayed."},
	Stalled:         {headline: "No record has had an outcome for over a minute", affects: eventsWait, advice: "Run `clientevents check`, and see the log. If neither shows a cause, take a goroutine profile and report it."},
}
