package main

// rekey are bugs of input.rekey.
var rekey = []bug{
	{
		what: "a source offset is committed before the internal topic has the events",
		file: "consumer/rekeywrite.go",
		old:  "	writes.Wait()\n	close(results)\n", with: "	o.partition.Recorded(events)\n	writes.Wait()\n	close(results)\n",
		pkg: simulationPkg, run: "^TestRekeyUnwritable$", args: []string{"-seeds=12"},
	},
	{
		what: "the wait for a parent ends although a partition of the source topic is not read",
		file: "consumer/partition/partition.go",
		old:  "return !p.rules.Settle || !end.After(p.settled)", with: "return true",
		pkg: simulationPkg, run: "^TestRekeyPartitionAway$", args: []string{"-seeds=12"},
	},
	{
		what: "events are written to the internal topic by the key of their record",
		file: "consumer/rekey.go",
		old:  "Key: []byte(e.RequestID), Value: value", with: "Key: r.Key, Value: value",
		pkg: simulationPkg, run: "^TestRekeyPlannedChanges$", args: []string{"-seeds=12"},
	},
	{
		what: "a dead letter names the record of the internal topic",
		file: "consumer/rekey.go",
		old:  "	src.topic = string(r.Headers[0].Value)\n", with: "	return src\n",
		pkg: appPkg, run: "^TestRekey$",
	},
	{
		what: "a child whose parent is in another partition is not told from an orphan",
		file: "consumer/deadletter.go",
		old:  "		w.o.explainOrphan(&letters[i])\n", with: "		_ = i\n",
		pkg: appPkg, run: "^TestRekeyNeeded$",
	},
}
