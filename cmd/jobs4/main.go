// Command jobs4 calls the methods of Cloud Talent Solution v4, their requests
// typed field by field.
//
// See docs/jobs3.md, and "jobs4 --help".
package main

import (
	"os"

	"github.com/clientevents/clientevents/internal/discovery"
	"github.com/clientevents/clientevents/internal/discoverycli"
)

func main() { os.Exit(run()) }

func run() int { return discoverycli.Main("jobs4", discovery.JobsV4) }
