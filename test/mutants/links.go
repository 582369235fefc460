package main

// links are bugs of children and their parents.
var links = []bug{
	{
		what: "children whose wait is over do not count as read ahead",
		file: "consumer/owner.go",
		old:  "	f := freed{moving: -int64(effects.Resumed)}\n", with: "	var f freed\n",
		pkg: consumerPkg, run: "^TestChildrenMoveWhenTheirWaitIsOver$",
	},
	{
		what: "children of a rejected parent do not follow its next copy",
		file: "consumer/partition/outcome.go",
		old:  "	p.parents.leave(it)\n", with: "",
		pkg: partitionPkg, run: "^TestModel$",
	},
}
