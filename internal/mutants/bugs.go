package main

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
	consumerPkg   = "./consumer"
	reporterPkg   = "./reporter"
	simulationPkg = "./internal/simulation"
	appPkg        = "./internal/app"
	commandPkg    = "./cmd/clientevents"
	wirePkg       = "./reporter/wire"
	kafkalogPkg   = "./consumer/kafkalog"
)

var bugs = []bug{
	{
		family: "a", what: "an offset is committed past one that is not finished",
		file: "consumer/tracker.go",
		old:  "	t.open--\n", with: "	t.open--\n	t.mark = max(t.mark, s.after)\n",
		pkg: simulationPkg, run: "^TestKills$", args: []string{"-seeds=6"},
	},
	{
		family: "a", what: "the state record is not awaited before the commit",
		file: "consumer/partition.go",
		old:  "	p.marks = append(p.marks, mark{it, reported})\n", with: "	p.marks = append(p.marks, mark{it, reported})\n	p.tracker.done(it.ticket)\n",
		pkg: simulationPkg, run: "^TestUnwritableTopics$", args: []string{"-seeds=12"},
	},
	{
		family: "a", what: "a dead letter is not awaited before the commit",
		file: "consumer/partition.go",
		old:  "	p.letters = append(p.letters, letter{it, fault, status})\n", with: "	p.letters = append(p.letters, letter{it, fault, status})\n	p.tracker.done(it.ticket)\n",
		pkg: simulationPkg, run: "^TestUnwritableTopics$", args: []string{"-seeds=12"},
	},
	{
		family: "b", what: "an outcome that comes after the partition was given away counts for its next owner",
		file: "consumer/tracker.go",
		old:  "first: ticket(rand.Uint64N(1 << 62))", with: "first: ticket(rand.Uint64N(1))",
		pkg: consumerPkg, run: "^TestTrackerTicketsOfAnother$",
	},
	{
		family: "b", what: "requests start though the partitions may be another's",
		file: "consumer/consumer.go",
		old:  "return c.lease.valid(now)", with: "return c.lease.valid(now) || true",
		pkg: consumerPkg, run: "^TestLeaseEndsWithTheSession$",
	},
	{
		family: "c", what: "what is buffered when the partitions are revoked counts as done",
		file: "batcher/batcher.go",
		old:  "Kind: event.Released", with: "Kind: event.Accepted",
		pkg: simulationPkg, run: "^TestStopWhileTheAPIHangs$", args: []string{"-seeds=6"},
	},
	{
		family: "d", what: "a request that a stop cut short counts as refused",
		file: "reporter/worker.go",
		old:  "	if err.Reason == recalled {\n		w.giveBack(batch)\n		return\n	}\n	w.count(status, err)\n",
		with: "	if err.Reason == recalled {\n		for _, d := range batch {\n			d.Done(d, event.Outcome{Kind: event.Rejected})\n		}\n		w.r.source.Settle(len(batch))\n		return\n	}\n	w.count(status, err)\n",
		pkg:  simulationPkg, run: "^TestStopWhileTheAPIHangs$", args: []string{"-seeds=6"},
	},
	{
		family: "e", what: "the state is closed before what is in flight is finished",
		file: "consumer/generation.go",
		old:  "	owners.Wait()\n	writing, giveUp", with: "	owners.Wait()\n	for _, o := range g.owners {\n		o.close()\n	}\n	writing, giveUp",
		pkg: simulationPkg, run: "^TestPlannedChanges$", args: []string{"-seeds=8"},
	},
	{
		family: "f", what: "an event is noted as reported before it is sent",
		file: "consumer/partition.go",
		old:  "	c.sent = true\n", with: "	c.sent = true\n	p.marks = append(p.marks, mark{c.item, entry{content: c.item.content, created: c.item.Time, typ: c.item.Type, reported: time.Now()}})\n	p.markSignal.set()\n",
		pkg: simulationPkg, run: "^TestKills$", args: []string{"-seeds=6"},
	},
	{
		family: "g", what: "the wrong id is removed from what is known",
		file: "consumer/index.go",
		old:  "s.remove(s.find(k, h, seed), seed)", with: "s.remove((s.find(k, h, seed)+1)%len(s.slots), seed)",
		pkg: consumerPkg, run: "^TestIndexModel$",
	},
	{
		family: "h", what: "with kafka.start: latest, where a group began is not committed",
		file: "consumer/generation.go",
		old:  "w := o.partition.watermark(); w >= 0 {", with: "w := o.partition.watermark(); w >= 0 && o.partition.known() > 0 {",
		pkg: consumerPkg, run: "^TestLatestIsDecidedOnce$",
	},
	{
		family: "i", what: "a part of a batch fails, and all of it is sent again",
		file: "reporter/worker.go",
		old:  "	accepted := false\n	w.refused = w.refused[:0]\n",
		with: "	for _, res := range w.results {\n		if delay != nil && res.err != nil && !res.err.permanent() {\n			for i := range w.results {\n				w.results[i] = res\n			}\n		}\n	}\n	accepted := false\n	w.refused = w.refused[:0]\n",
		pkg:  reporterPkg, run: "^TestPartsHaveTheirOwnOutcomes$",
	},
	{
		family: "j", what: "nothing bounds what waits to be sent",
		file: "consumer/budget.go",
		old:  "return b.full() || a.full(), b.freed", with: "return false, b.freed",
		pkg: consumerPkg, run: "^TestWhatIsHeldIsBooked$",
	},
	{
		family: "j", what: "what records share is not booked",
		file: "consumer/owner.go",
		old:  "o.account.take(batch.Memory, len(items), batch)", with: "o.account.take(0, len(items), batch)",
		pkg: consumerPkg, run: "^TestWhatIsHeldIsBooked$",
	},
	{
		family: "k", what: "the series of a partition that was given away stay",
		file: "consumer/owner.go",
		old:  "	o.metrics.forget(o.partition.id)\n", with: "",
		pkg: commandPkg, run: "^TestSeriesOfPartitionsGivenAway$",
	},
	{
		family: "l", what: "the rate is not kept to",
		file: "reporter/worker.go",
		old:  "n, wait = r.limiter.take(n, now); n == 0", with: "m, _ := r.limiter.take(n, now); m < 0",
		pkg: reporterPkg, run: "^TestRate$",
	},
	{
		family: "l", what: "a retry does not wait",
		file: "reporter/gate.go",
		old:  "g.until = now.Add(g.wait(g.failures))\n	}", with: "g.until = now.Add(0 * g.wait(g.failures))\n	}",
		pkg: reporterPkg, run: "^TestOutageIsProbedByOneRequest$",
	},
	{
		family: "m", what: "a token that is not valid is held against the events",
		file: "reporter/errors.go",
		old:  "return Unauthenticated", with: "return Refused",
		pkg: reporterPkg, run: "^TestUnauthenticatedForLong$",
	},
	{
		family: "n", what: "readiness is not looked at but assumed",
		file: "consumer/consumer.go",
		old:  "		return false, notMember(held)\n", with: "		return true, notMember(held)\n",
		pkg: commandPkg, run: "^TestNotReady$",
	},
	{
		family: "o", what: "a replay publishes the dead letter's headers with the record",
		file: "internal/app/letters.go",
		old:  "!strings.HasPrefix(h.Key, consumer.HeaderPrefix) && h.Key != HeaderReplays", with: "!strings.HasPrefix(h.Key, \"none\") && h.Key != HeaderReplays",
		pkg: commandPkg, run: "^TestByHand$",
	},
	{
		family: "p", what: "the state is not read to its end",
		file: "consumer/state.go",
		old:  "MaxBytes: restoreBytes, MaxWait: fetchWait, Reuse: batch,\n		})\n", with: "MaxBytes: 1 << 20, MaxWait: fetchWait, MaxRecords: 100,\n		})\n		end = position\n",
		pkg: appPkg, run: "^TestPublishedTwice$",
	},
	{
		family: "p", what: "no state is read at assignment",
		file: "consumer/state.go",
		old:  "	for position < end {\n", with: "	for position < 0 {\n",
		pkg: simulationPkg, run: "^TestKills$", args: []string{"-seeds=8"},
	},
	{
		family: "r", what: "a leader that moved makes reading begin elsewhere",
		file: "consumer/owner.go",
		old:  "	return position, pause(o.intake, failures)\n", with: "	o.partition.skipTo(o.end.Load())\n	return o.end.Load(), pause(o.intake, failures)\n",
		pkg: simulationPkg, run: "^TestBrokerErrors$/^Fetch$",
	},
	{
		what: "the drain begins before intake has ended",
		file: "consumer/generation.go",
		old:  "	owners.Wait()\n	writing, giveUp", with: "	go owners.Wait()\n	writing, giveUp",
		pkg: consumerPkg, run: "^TestIntakeEndsBeforeTheDrain$",
	},
	{
		what: "children are not held for their parents",
		file: "consumer/partition.go",
		old:  "	if it.ParentID == \"\" {\n", with: "	if it.ParentID == \"\" || !p.ticked.IsZero() {\n",
		pkg: simulationPkg, run: "^TestPlannedChanges$", args: []string{"-seeds=6"},
	},
	{
		what: "a second copy does not wait for the first one's outcome",
		file: "consumer/partition.go",
		old:  "	if c, ok := p.claims[it.ID]; ok {\n", with: "	if c, ok := p.claims[it.ID]; ok && len(it.ID) == 0 {\n",
		pkg: simulationPkg, run: "^TestPlannedChanges$", args: []string{"-seeds=12"},
	},
	{
		what: "patience counts the time of an outage",
		file: "consumer/partition.go",
		old:  "		case p.moving(it.ParentID):\n", with: "		case false:\n",
		pkg: simulationPkg, run: "^TestAPIFaults$", args: []string{"-seeds=12"},
	},
	{
		what: "a record that kills is read again for ever",
		file: "consumer/examine.go",
		old:  "	if previous == nil || previous.clean {\n", with: "	if previous == nil || previous.clean || len(previous.poison) == 0 {\n",
		pkg: consumerPkg, run: "^TestPoisonThatKills$",
	},
	{
		what: "the memory of records is used again before they are finished",
		file: "consumer/owner.go",
		old:  "o.account.take(batch.Memory, len(items), batch)", with: "o.account.take(batch.Memory, len(items), nil)\n	o.budget.spares.give(batch)",
		pkg: consumerPkg, run: "^TestMemoryIsUsedAgainOnlyWhenFinished$",
	},
	{
		what: "a topic that another replica created is not looked at",
		file: "consumer/topics.go",
		old:  "	if err != nil {\n		return fmt.Errorf(\"create topic", with: "	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {\n		return fmt.Errorf(\"create topic",
		pkg: simulationPkg, run: "^TestGroupErrors$/^CreateTopics$",
	},
	{
		what: "a commit that nobody answers keeps a replica from stopping",
		file: "consumer/generation.go",
		old:  "	go func() { g.commits <- g.commit() }()\n", with: "	g.commits <- g.commit()\n",
		pkg: consumerPkg, run: "^TestStopWhileTheBrokerIsSilent$",
	},
	{
		what: "a replica that was told to stop waits for brokers that are away",
		file: "consumer/generation.go",
		old:  "g.unheard && inTime && ctx.Err() == nil", with: "g.unheard && inTime",
		pkg: simulationPkg, run: "^TestStopWhileTheBrokerIsAway$", args: []string{"-seeds=12"},
	},
	{
		what: "whoever waits for the rate and comes late loses a part of it",
		file: "reporter/limiter.go",
		old:  "	l.tokens.SetBurstAt(now, l.late())\n", with: "",
		pkg: reporterPkg, run: "^TestLimiterMakesGoodForLateness$",
	},
	{
		what: "a rollback is held up by what was deleted before it",
		file: "consumer/state.go",
		old:  "			delete(foreign, string(r.Key))\n", with: "",
		pkg: consumerPkg, run: "^TestForeignStateRecords$",
	},
	{
		what: "two batches for one partition go in one request, of which the broker keeps one",
		file: "consumer/kafkalog/gather.go",
		old:  "		same := func(b *appending) bool { return b.partition == a.partition }\n", with: "		same := func(*appending) bool { return false }\n",
		pkg: kafkalogPkg, run: "^TestAppendsToOnePartition$",
	},
	{
		what: "partitions wait for what a fetch at another's end may bring",
		file: "consumer/owner.go",
		old:  "batch.NextOffset < batch.LastStableOffset)", with: "true)",
		pkg: consumerPkg, run: "^TestPartitionsAtTheirEndHoldNobodyUp$",
	},
	{
		what: "an answer that is shorter than it says is taken",
		file: "reporter/wire/http1.go",
		old:  "	if length >= 0 && n < length {\n", with: "	if length >= 0 && n < 0 {\n",
		pkg: wirePkg, run: "^TestCutAnswers$",
	},
	{
		what: "a request whose connection ended in its midst counts as unread",
		file: "reporter/wire/http2.go",
		old:  "		if s.begins >= c.out.handed {\n", with: "		if true {\n",
		pkg: wirePkg, run: "^TestHTTP2ConnectionLost$",
	},
	{
		what: "a request that counts as unread is written nevertheless",
		file: "reporter/wire/http2.go",
		old:  "	c.out.clear()\n", with: "",
		pkg: wirePkg, run: "^TestHTTP2UnprocessedIsNotWritten$",
	},
	{
		what: "an answer of which a part is missing is taken",
		file: "reporter/wire/http2_read.go",
		old:  "	if s.length >= 0 && s.received < s.length {\n", with: "	if false {\n",
		pkg: wirePkg, run: "^TestHTTP2BadAnswers$",
	},
	{
		what: "GOAWAY ends requests that the host goes on with",
		file: "reporter/wire/http2_read.go",
		old:  "		if id > f.LastStreamID {\n", with: "		if id >= f.LastStreamID {\n",
		pkg: wirePkg, run: "^TestHTTP2GoAway$",
	},
	{
		what: "what was received of a request that was given up is not given back",
		file: "reporter/wire/http2_read.go",
		old:  "	if err := c.useWindow(int64(len(p))); err != nil {\n		return err\n	}\n	data, ok := unpadded(fh, p)\n", with: "	if c.streams[fh.StreamID] == nil {\n		return nil\n	}\n	if err := c.useWindow(int64(len(p))); err != nil {\n		return err\n	}\n	data, ok := unpadded(fh, p)\n",
		pkg: wirePkg, run: "^TestHTTP2ReceiveWindow$",
	},
	{
		what: "a head's encoding is used after the table that it is for",
		file: "reporter/wire/http2_read.go",
		old:  "		clear(c.out.blocks)\n", with: "",
		pkg: wirePkg, run: "^TestHTTP2HeaderTable$",
	},
	{
		what: "a connection whose host is gone is used further",
		file: "reporter/wire/http2.go",
		old:  "	silent := c.frames == s.seen\n", with: "	silent := false\n",
		pkg: wirePkg, run: "^TestHTTP2SilentPeer$",
	},
	{
		what: "a host that is gone is waited for",
		file: "reporter/wire/http2.go",
		old:  "	asked := c.pingSent > heard\n", with: "	asked := c.pingSent > now\n",
		pkg: wirePkg, run: "^TestHTTP2LostPeer$",
	},
}
