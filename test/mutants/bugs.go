package main

import "slices"

// bug is a fault that others had, or a promise broken on purpose: text of one
// file that is replaced, and the test that has to notice.
type bug struct {
	// family is the letter under which docs/delivery.md lists it; "" for
	// promises of our own.
	family string
	what   string
	file   string
	// old stands in the file exactly once.
	old, with string
	pkg, run  string
	args      []string
}

const (
	eventPkg      = "./event"
	batcherPkg    = "./batcher"
	consumerPkg   = "./consumer"
	reporterPkg   = "./reporter"
	simulationPkg = "./test/simulation"
	appPkg        = "./internal/app"
	commandPkg    = "./cmd/clientevents"
	groupPkg      = "./consumer/group"
	kafkalogPkg   = "./consumer/kafkalog"
	partitionPkg  = "./consumer/partition"
	talentPkg     = "./reporter/talent"
	inputPkg      = "./input"
)

var bugs = slices.Concat(others, ours, rekey, hostile, renewals, shapes, links, outside)

// others are the bugs that others had, apart from a few among ours.
var others = []bug{
	{
		family: "a", what: "an offset is committed past one that is not finished",
		file: "consumer/partition/tracker.go",
		old:  "	t.open--\n", with: "	t.open--\n	t.mark = max(t.mark, s.after)\n",
		pkg: simulationPkg, run: "^TestKills$", args: []string{"-seeds=6"},
	},
	{
		family: "a", what: "the state record is not awaited before the commit",
		file: "consumer/partition/outcome.go",
		old:  "	p.accepted = append(p.accepted, Accepted{it, reported})\n", with: "	p.accepted = append(p.accepted, Accepted{it, reported})\n	p.tracker.done(it.record.ticket)\n",
		pkg: simulationPkg, run: "^TestUnwritableTopics$", args: []string{"-seeds=12"},
	},
	{
		family: "a", what: "a dead letter is not awaited before the commit",
		file: "consumer/partition/outcome.go",
		old:  "	p.effects.DeadLetters++\n", with: "	p.effects.DeadLetters++\n	p.tracker.done(r.ticket)\n",
		pkg: simulationPkg, run: "^TestUnwritableTopics$", args: []string{"-seeds=12"},
	},
	{
		family: "b", what: "an outcome that comes after the partition was given away counts for its next owner",
		file: "consumer/partition/tracker.go",
		old:  "first: ticket(rand.Uint64N(1 << 62))", with: "first: ticket(rand.Uint64N(1))",
		pkg: partitionPkg, run: "^TestTrackerTicketsOfAnother$",
	},
	{
		family: "b", what: "requests start though the partitions may be another's",
		file: "internal/ownership/ownership.go",
		old:  "until != nil && now.Before(*until)", with: "until != nil || now.After(time.Time{})",
		pkg: consumerPkg, run: "^TestLeaseEndsWithTheSession$",
	},
	{
		family: "c", what: "what is buffered when the partitions are revoked counts as done",
		file: "batcher/drain.go",
		old:  "Kind: event.Released", with: "Kind: event.Accepted",
		pkg: simulationPkg, run: "^TestStopWhileTheAPIHangs$", args: []string{"-seeds=6"},
	},
	{
		family: "d", what: "a request that a stop cut short counts as refused",
		file: "reporter/worker.go",
		old:  "	if err.Reason == talent.Recalled {\n		w.giveBack(batch)\n		return\n	}\n	w.count(answer)\n",
		with: "	if err.Reason == talent.Recalled {\n		for _, d := range batch {\n			d.Done(event.Outcome{Kind: event.Rejected})\n		}\n		return\n	}\n	w.count(answer)\n",
		pkg:  simulationPkg, run: "^TestStopWhileTheAPIHangs$", args: []string{"-seeds=6"},
	},
	{
		what: "an event whose flight ends twice is subtracted twice",
		file: "event/delivery.go",
		old:  "d.inFlight.Swap(nil)", with: "d.inFlight.Load()",
		pkg: eventPkg, run: "^TestDeliveryLandsOnce$",
	},
	{
		what: "the events of a revoked partition stay in flight",
		file: "consumer/owner.go",
		old:  "	for _, d := range revoked.Unrecorded {\n", with: "	for _, d := range revoked.Unrecorded[:0] {\n",
		pkg: consumerPkg, run: "^TestLateAcceptanceLands$",
	},
	{
		family: "e", what: "the state is closed before what is in flight is finished",
		file: "consumer/assignment.go",
		old:  "	drained := make(chan struct{})\n", with: "	for _, o := range owners {\n		o.close()\n	}\n	drained := make(chan struct{})\n",
		pkg: simulationPkg, run: "^TestPlannedChanges$", args: []string{"-seeds=8"},
	},
	{
		family: "f", what: "an event is noted as reported before it is sent",
		file: "consumer/partition/partition.go",
		old:  "	it.sent = true\n", with: "	it.sent = true\n	p.accepted = append(p.accepted, Accepted{it, Entry{Content: it.content, Created: it.Time, Type: it.Type, Reported: time.Now()}})\n	p.effects.Accepted++\n",
		pkg: simulationPkg, run: "^TestKills$", args: []string{"-seeds=6"},
	},
	{
		family: "g", what: "the wrong id is removed from what is known",
		file: "consumer/partition/table.go",
		old:  "*t.slot(s, position) = *last", with: "*t.slot(s, (position+1)%end) = *last",
		pkg: partitionPkg, run: "^TestIndexModel$",
	},
	{
		family: "h", what: "with kafka.start: latest, where a group began is not committed",
		file: "consumer/identity.go",
		old:  "w := o.partition.Watermark(); w >= 0 {", with: "w := o.partition.Watermark(); w >= 0 && o.partition.Stats().Known > 0 {",
		pkg: consumerPkg, run: "^TestLatestIsDecidedOnce$",
	},
	{
		family: "i", what: "a part of a batch fails, and all of it is sent again",
		file: "reporter/conclude.go",
		old:  "	accepted := false\n	w.rejected = w.rejected[:0]\n",
		with: "	for _, res := range w.results {\n		if delay != nil && res.Err != nil && !res.Err.Permanent() {\n			for i := range w.results {\n				w.results[i] = res\n			}\n		}\n	}\n	accepted := false\n	w.rejected = w.rejected[:0]\n",
		pkg:  reporterPkg, run: "^TestPartsHaveTheirOwnOutcomes$",
	},
	{
		family: "j", what: "nothing bounds what waits to be sent",
		file: "consumer/budget.go",
		old:  "return a.waits(), b.freed", with: "return false, b.freed",
		pkg: consumerPkg, run: "^TestWhatIsHeldIsBooked$",
	},
	{
		family: "j", what: "what records share is not booked",
		file: "consumer/budget.go",
		old:  "	c := &chunk{account: a, bytes: batch.Memory, batch: batch}\n",
		with: "	c := &chunk{account: a, batch: batch}\n	a.add(-batch.Memory, 0, 0)\n",
		pkg:  consumerPkg, run: "^TestWhatIsHeldIsBooked$",
	},
	{
		family: "k", what: "the series of a partition that was given away stay",
		file: "consumer/owner.go",
		old:  "	o.c.metrics.forget(o.partition.ID())\n", with: "",
		pkg: appPkg, run: "^TestSeriesAfterRebalance$",
	},
	{
		family: "l", what: "the rate is not kept to",
		file: "reporter/permit.go",
		old:  "n, wait = r.limiter.take(n, now); n == 0", with: "m, _ := r.limiter.take(n, now); m < 0",
		pkg: reporterPkg, run: "^TestRate$",
	},
	{
		family: "l", what: "a retry does not wait",
		file: "reporter/gate.go",
		old:  "g.until = now.Add(min(maxOutageWait, g.wait(g.failures)))", with: "g.until = now.Add(0 * g.wait(g.failures))",
		pkg: reporterPkg, run: "^TestOutageIsProbedByOneRequest$",
	},
	{
		family: "m", what: "a token that is not valid is held against the events",
		file: "reporter/talent/errors.go",
		old:  "return Unauthenticated", with: "return Refused",
		pkg: reporterPkg, run: "^TestUnauthenticatedForLong$",
	},
	{
		family: "n", what: "readiness is not looked at but assumed",
		file: "consumer/readiness.go",
		old:  "return r.State == Ready", with: "return r.State >= Joining",
		pkg: commandPkg, run: "^TestNotReady$",
	},
	{
		family: "o", what: "a replay publishes the dead letter's headers with the record",
		file: "internal/deadletter/replay.go",
		old:  "strings.HasPrefix(h.Key, consumer.HeaderPrefix) || h.Key == HeaderReplays", with: "h.Key == HeaderReplays",
		pkg: commandPkg, run: "^TestByHand$",
	},
	{
		family: "p", what: "the state is not read to its end",
		file: "consumer/restore.go",
		old:  "	state.Request.MaxRecords = 0\n", with: "	state.End = min(end, from+1)\n",
		pkg: appPkg, run: "^TestPublishedTwice$",
	},
	{
		family: "p", what: "no state is read at assignment",
		file: "consumer/restore.go",
		old:  "		Log: o.c.kafka, Room: o.account.room, End: end, Request:", with: "		Log: o.c.kafka, Room: o.account.room, End: 0, Request:",
		pkg: simulationPkg, run: "^TestKills$", args: []string{"-seeds=8"},
	},
	{
		family: "p", what: "a partition that has read its state keeps its turn",
		file: "consumer/restore.go",
		old:  "return func() { <-o.c.budget.restores }, nil", with: "return func() {}, nil",
		pkg: consumerPkg, run: "^TestRestoreAhead$",
	},
	{
		family: "g", what: "a slot keeps a part of a create time for which it has no room",
		file: "consumer/partition/table.go",
		old:  "return uint64(f.created-createdFrom) < 1<<createdBits", with: "return true",
		pkg: partitionPkg, run: "^TestIndexKeeps$",
	},
	{
		family: "r", what: "a leader that moved makes reading begin elsewhere",
		file: "consumer/fetch.go",
		old:  "	return position, pause(o.intake, failures)\n", with: "	o.partition.SkipTo(o.end.Load())\n	return o.end.Load(), pause(o.intake, failures)\n",
		pkg: simulationPkg, run: "^TestBrokerErrors$/^Fetch$", args: []string{"-all"},
	},
}
