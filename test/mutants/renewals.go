package main

// renewals are bugs of reloads and of files that are read again.
var renewals = []bug{
	{
		what: "reload: a change that needs a restart is applied in part",
		file: "internal/reload/reload.go",
		old:  "	if len(fixed) > 0 {\n", with: "	if len(fixed) == len(changes) {\n",
		pkg: appPkg, run: "^TestEachKeyOnReload$",
	},
	{
		what: "reload: a key that is said to reload stays as it was",
		file: "internal/pipeline/pipeline.go",
		old:  "	p.batcher.SetLinger(c.Report.Linger)\n", with: "",
		pkg: appPkg, run: "^TestEachKeyOnReload$",
	},
	{
		what: "reload: the content of the mapping's file is no part of the configuration",
		file: "internal/config/settings.go",
		old:  "old.Input.Mapping != changed.Input.Mapping", with: "false",
		pkg: appPkg, run: "^TestEachKeyOnReload$",
	},
	{
		what: "reload: a fault is logged at each look",
		file: "internal/reload/reload.go",
		old:  "	if repeated && !asked {\n", with: "	if repeated && !asked && s.Failed() == false {\n",
		pkg: appPkg, run: "^TestWatchedFile$",
	},
	{
		what: "reload: events that wait for a parent keep their old limit",
		file: "consumer/partition/partition.go",
		old:  "	p.parents.extend(rules.ParentsWait - p.rules.ParentsWait)\n", with: "",
		pkg: partitionPkg, run: "^TestSetRules$",
	},
	{
		what: "reload: the other replicas never learn of the new configuration",
		file: "consumer/group/drift.go",
		old:  "			m.announce(p.Config)\n", with: "",
		pkg: appPkg, run: "^TestDifferentConfigurations$",
	},
	{
		what: "reload: a file is used while it is being written",
		file: "internal/filewatch/follow.go",
		old:  "	for w.sleep(settle) {\n", with: "	for w.sleep(0) {\n",
		pkg: "./internal/filewatch", run: "^TestFollow$",
	},
	{
		what: "renewal: a file that was missing for a moment counts as stale for ever",
		file: "internal/filewatch/filewatch.go",
		old:  "		if s.valid {\n", with: "		if !s.valid {\n",
		pkg: "./internal/filewatch", run: "^TestMissingFile$",
	},
	{
		what: "renewal: the expiry is that of a certificate that is not in use",
		file: "internal/tlsfile/store.go",
		old:  "			if err == nil {\n				s.use(certKey", with: "			if err != nil {\n				s.use(certKey",
		pkg: "./internal/tlsfile", run: "^TestStore$",
	},
	{
		what: "renewal: the schema registry's authorities stay those of the start",
		file: "input/login.go",
		old:  "	if t.current == nil || roots != t.used {\n", with: "	if t.current == nil {\n",
		pkg: inputPkg, run: "^TestWatchedLogin$",
	},
	{
		what: "config show prints the password",
		file: "internal/config/settings.go",
		old:  "					v.text = hidden", with: "					_ = hidden",
		pkg: "./internal/config", run: "^TestSettings$",
	},
}
