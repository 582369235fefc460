package admin

import (
	"context"
	"net/url"
)

// Operation is an admin action that the server offers at [Operation.Path] and the
// command line as "clientevents admin NAME".
type Operation struct {
	// Name is the action's name in both.
	Name string
	// Help is what the action does, in one line.
	Help string
	// Params are the parameters that the action takes.
	Params []Param
}

// Path is the path to which the action is posted.
func (o Operation) Path() string { return "/admin/" + o.Name }

// Param is a parameter of an action.
type Param struct {
	Name string
	// Kind defines how the command line takes the parameter.
	Kind ParamKind
	// Values describes the possible values, such as "debug|info", of an Argument.
	Values string
	// Help describes a flag.
	Help string
}

// ParamKind is how the command line takes a parameter.
type ParamKind int

const (
	// Argument is a required positional argument.
	Argument ParamKind = iota
	// PartitionFlag is an optional flag, the number of a partition.
	PartitionFlag
	// DurationFlag is a flag with a default, for how long an override holds. It does
	// not apply to the argument [Default].
	DurationFlag
)

// Default is the value that ends an override.
const Default = "default"

// operation is an Operation with its effect.
type operation struct {
	Operation
	// do starts the action, and returns how to tell that it is done.
	do func(a *actions, ctx context.Context, params url.Values) (pendingAction, *refusal)
}

// table lists the admin actions.
var table = []operation{
	{Operation{"pause", "Pause a partition, or all fetching and sending of the replica", []Param{onePartition}}, (*actions).pause},
	{Operation{"resume", "Resume a partition or the replica", []Param{onePartition}}, (*actions).resume},
	{Operation{"drain", "Finish the events in flight, leave the group, and stay idle", nil}, (*actions).drain},
	{Operation{"rate", "Change the replica's reporting rate for a limited time", []Param{
		{Name: "events_per_second", Values: "EVENTS_PER_SECOND|" + Default}, overrideFor,
	}}, (*actions).setRate},
	{Operation{"log-level", "Change the replica's log level for a limited time", []Param{
		{Name: "level", Values: "debug|info|warn|error|" + Default}, overrideFor,
	}}, (*actions).setLevel},
}

var (
	onePartition = Param{
		Name: "partition", Kind: PartitionFlag,
		Help: "only this partition, which must be assigned to the replica; the pause persists across rebalances and restarts",
	}
	overrideFor = Param{Name: "for", Kind: DurationFlag, Help: "duration of the override, at most 24h"}
)

// Operations returns the admin actions, in the order of the documents.
func Operations() []Operation {
	all := make([]Operation, len(table))
	for i := range table {
		all[i] = table[i].Operation
	}
	return all
}
