package main

// outside are bugs that show where others change topics, groups and offsets, or where a
// server answers as none should.
var outside = []bug{
	{
		what: "a recreated topic is read from the old position until its ID is looked up",
		file: "consumer/kafkalog/fetchwire.go",
		old:  "	if err == nil && newest >= fetchIDs {\n", with: "	if err == nil && newest < 0 {\n",
		pkg: consumerPkg, run: "^TestRecreatedTopicIsReadOnce$",
	},
	{
		what: "partitions that a recreated topic no longer has stay assigned",
		file: "consumer/group/status.go",
		old:  "		case n == fewer:\n", with: "		case n == fewer && n < 0:\n",
		pkg: groupPkg, run: "^TestRecreatedWithFewerPartitions$",
	},
	{
		what: "the partitions that a state topic lacks are not added",
		file: "consumer/state.go",
		old:  "		err = o.c.completeStateTopic(ctx, err)\n", with: "",
		pkg: consumerPkg, run: "^TestStateTopicLosesPartitions$",
	},
	{
		what: "dead letters are written to partitions that a topic had once",
		file: "consumer/deadletter.go",
		old:  "		o.c.followLettersTopic(ctx, err)\n", with: "",
		pkg: consumerPkg, run: "^TestLettersTopicLosesPartitions$",
	},
	{
		what: "two groups share a state topic",
		file: "consumer/statetopic.go",
		old:  "	case running:\n", with: "	case running && last == nil:\n",
		pkg: consumerPkg, run: "^TestTwoGroupsOneStateTopic$",
	},
	{
		what: "a state topic that begins to forget goes unmentioned",
		file: "consumer/statewatch.go",
		old:  "	case ok:\n", with: "	case ok && w == nil:\n",
		pkg: consumerPkg, run: "^TestStateTopicBecomesUnfit$",
	},
	{
		what: "a state topic that forgets no more stays a problem",
		file: "consumer/statewatch.go",
		old:  "		w.a.unfit.Store(nil)\n", with: "",
		pkg: consumerPkg, run: "^TestStateTopicBecomesUnfit$",
	},
	{
		what: "a state topic that forgets is no problem in the status",
		file: "internal/health/health.go",
		old:  "ofLoss, ofState,", with: "ofLoss,",
		pkg: "./internal/health", run: "^TestProblems$",
	},
	{
		what: "records that were deleted unread go unmentioned",
		file: "internal/health/health.go",
		old:  "ofCommits, ofLoss,", with: "ofCommits,",
		pkg: "./internal/health", run: "^TestFlow$",
	},
	{
		what: "an offset that another client has set goes unmentioned",
		file: "consumer/owner.go",
		old:  "		o.tellMoved(before, id)\n", with: "",
		pkg: consumerPkg, run: "^TestOffsetsSetByOthers$",
	},
	{
		what: "a foreign member with our client ID counts as a replica",
		file: "consumer/group/peers.go",
		old:  "(member.ClientID != clientID || !s.earlier)", with: "member.ClientID != clientID",
		pkg: groupPkg, run: "^TestForeignMemberWithOurClientID$",
	},
	{
		what: "a fetch counts as done before its records are in process",
		file: "consumer/turn.go",
		old:  "	a.expect(int64(records))\n", with: "	a.expect(0)\n",
		pkg: consumerPkg, run: "^TestTurn$",
	},
	{
		what: "a restart writes the dead letters behind a waiting event again",
		file: "consumer/owner.go",
		old:  "	if o.lettered.has(r.Offset) {\n", with: "	if o.lettered.has(r.Offset) && r.Offset < 0 {\n",
		pkg: consumerPkg, run: "^TestRestartRepeatsNoDeadLetter$",
	},
	{
		what: "dead letters are recorded only when a replica stops",
		file: "consumer/state.go",
		old:  "		case <-look.C:\n			if o.restored.Load() &&", with: "		case <-look.C:\n			if o.restored.Load() && ctx == nil &&",
		pkg: consumerPkg, run: "^TestKillRepeatsFewDeadLetters$",
	},
	{
		what: "dead letters are passed over although another client set the offset back",
		file: "consumer/lettered.go",
		old:  "o.found.Offset >= 0 && committedTopic(o.found.Metadata) != log {", with: "o.found.Offset < -1 {",
		pkg: consumerPkg, run: "^TestOffsetSetBackReadsDeadLetters$",
	},
	{
		what: "a thousand partitions are all read ahead",
		file: "consumer/turn.go",
		old:  "	return min(max(aheadPatience, time.Duration(b.shares)*aheadPatienceEach), longPatience)\n", with: "	return aheadPatience\n",
		pkg: consumerPkg, run: "^TestManyPartitionsReadNoFurtherAhead$",
	},
	{
		what: "a whole answer to a batch that can't be read counts as a cut one",
		file: "reporter/talent/parts.go",
		old:  "		return c, errEndless\n", with: "		return c, io.ErrUnexpectedEOF\n",
		pkg: reporterPkg, run: "^TestAnswerThatCannotBeMatched$",
	},
	{
		what: "one answer that can't be read ends batches until a restart",
		file: "reporter/reporter.go",
		old:  "	if s.again.IsZero() || time.Now().Before(s.again) {\n", with: "	if s.again.IsZero() || time.Now().After(s.again) {\n",
		pkg: reporterPkg, run: "^TestBatchesAreTriedAgain$",
	},
	{
		what: "an endpoint that says that it has no batches is asked again",
		file: "reporter/reporter.go",
		old:  "	if answer.Status/100 == 2 {\n", with: "	if answer.Status > 0 {\n",
		pkg: reporterPkg, run: "^TestEndpointWithoutBatches$",
	},
	{
		what: "an answer 101 is read to its end",
		file: "internal/netx/netx.go",
		old:  "resp.StatusCode != http.StatusSwitchingProtocols", with: "resp.StatusCode > 0",
		pkg: "./internal/netx", run: "^TestFinal$",
	},
	{
		what: "a 403 for a quota counts as a missing permission",
		file: "reporter/talent/errors.go",
		old:  "	if status == http.StatusForbidden && isQuota(body) {\n", with: "	if status == 0 {\n",
		pkg: talentPkg, run: "^TestForbiddenByAQuota$",
	},
	{
		what: "a default that is not valid makes a schema useless",
		file: "input/avro.go",
		old:  "lenient == nil {", with: "lenient == nil && s == nil {",
		pkg: "./input", run: "^TestSchemasThatOthersAccept$",
	},
	{
		what: "a command whose output is lost ends with 0",
		file: "cmd/clientevents/output.go",
		old:  "		if o.err == nil {\n", with: "		if o.w == nil {\n",
		pkg: commandPkg, run: "^TestLostOutput$",
	},
	{
		what: "the transport sends a request again that the server reset",
		file: "reporter/talent/request.go",
		old:  "	if p.whole.Load() {\n", with: "	if p.whole.Load() && p.data == nil {\n",
		pkg: talentPkg, run: "^TestResetRequests$",
	},
	{
		what: "a connection is used again whose end the server announced",
		file: "reporter/talent/ownconn.go",
		old:  "			o.last = resp.Close\n", with: "",
		pkg: talentPkg, run: "^TestServerClosesIdleConnection$",
	},
	{
		what: "a request that an HTTP/2 server refused has an unknown outcome",
		file: "reporter/talent/http2.go",
		old:  "strings.Contains(text, \"REFUSED_STREAM\")", with: "text == \"\"",
		pkg: talentPkg, run: "^TestResetRequests$",
	},
}
