package main

// shapes are bugs of topics in other teams' shapes, and of predicting and finding events.
var shapes = []bug{
	{
		what: "shape: the job names of a mapping keep the documentation's tenant",
		file: "internal/shape/shape.go",
		old:  "	return strings.ReplaceAll(s.program, s.parent+\"/jobs/\", parent+\"/jobs/\")\n", with: "	return s.program\n",
		pkg: "./internal/shape", run: "^TestMappingsReturnTheEvents$",
	},
	{
		what: "rehearse: the wait for a parent does not end with the records",
		file: "internal/rehearse/rehearse.go",
		old:  "		w.act(w.partition.Tick(at, true))\n", with: "		_ = at\n",
		pkg: "./test/prediction", run: "^TestRehearsalPredictsEachEvent$",
	},
	{
		what: "rehearse: a dead letter is listed with the offset of another record",
		file: "internal/rehearse/report.go",
		old:  "Example{o.partition, o.offset, o.id", with: "Example{o.partition, o.offset + 1, o.id",
		pkg: "./test/prediction", run: "^TestRehearsalPredictsEachEvent$",
	},
	{
		what: "find: records with another key are shown, too",
		file: "internal/find/find.go",
		old:  "return s.q.Key != nil && !bytes.Equal(s.q.Key, r.Key)", with: "return r == nil",
		pkg: appPkg, run: "^TestFindByKey$",
	},
	{
		what: "find: a key is searched in the wrong partition",
		file: "internal/find/find.go",
		old:  "partitions{partitionOf(q.Key, n): true}", with: "partitions{(partitionOf(q.Key, n) + 1) % int32(n): true}",
		pkg: appPkg, run: "^TestFindByKey$",
	},
}
