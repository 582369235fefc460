package main

// hostile are promises about records, sizes and clients that mean harm.
var hostile = []bug{
	{
		what: "two large batches are decompressed at a time",
		file: "consumer/kafkalog/account.go",
		old:  "			case d.turn <- struct{}{}:\n			case <-d.ctx.Done():", with: "			case d.turn <- struct{}{}:\n			default:\n			case <-d.ctx.Done():",
		pkg: kafkalogPkg, run: "^TestLargeBatchesTakeTurns$",
	},
	{
		what: "the account of a small container is as large as that of a large one",
		file: "consumer/consumer.go",
		old:  "min(max(memory/12, least), most)", with: "min(max(memory, most), most)",
		pkg: consumerPkg, run: "^TestBudgetFollowsTheMemoryLimit$",
	},
	{
		what: "a record that waited for its parent becomes a dead letter without its value",
		file: "consumer/record.go",
		old:  "	if it.record.Value == nil && it.shared {\n", with: "	if it.record.Value == nil && !it.shared {\n",
		pkg: consumerPkg, run: "^TestParkedRecordKeepsItsContent$",
	},
	{
		what: "dead letters are larger than the records that the source topic accepted",
		file: "consumer/deadletter.go",
		old:  "Codec: kafkalog.Zstd,", with: "Codec: kafkalog.Uncompressed,",
		pkg: consumerPkg, run: "^TestLettersAreCompressed$",
	},
	{
		what: "the status can't be encoded for the time that a producer gave to a record",
		file: "consumer/kafkalog/decode.go",
		old:  "time.UnixMilli(min(max(ms, earliest), latest))", with: "time.UnixMilli(ms)",
		pkg: appPkg, run: "^TestStatusOfAnyTime$",
	},
	{
		what: "a page of another site reads the status by a name of its own",
		file: "internal/guard/guard.go",
		old:  "Hosts(handler, hosts),", with: "handler,",
		pkg: appPkg, run: "^TestAdminPortIsGuarded$",
	},
	{
		what: "a terminal obeys a producer's key",
		file: "cmd/clientevents/deadletters.go",
		old:  "		fields[i] = terminal.Printable(fields[i])\n", with: "		fields[i] += terminal.Printable(\"\")\n",
		pkg: commandPkg, run: "^TestTextOfOthersIsEscaped$",
	},
}
