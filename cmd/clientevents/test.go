package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/maptest"
)

func newTestCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test --config FILE TESTS.yaml…",
		Short: "Test the input section: records and the expected events",
		Long: `Apply the input section of a configuration to the records of test files, and compare
the results with the expected ones: events, a dead letter's reason, or skipped. A test that
fails prints a diff; the exit code is then 1. docs/schema/mapping-tests.json
is the JSON Schema of the files. Neither a broker nor the API is needed.`,
		Example: `  clientevents test --config clientevents.yaml tests.yaml
  clientevents test --config clientevents.yaml --junit report.xml tests/*.yaml`,
		Args: cobra.ArbitraryArgs,
	}
	path := configFlag(cmd)
	asJSON := jsonFlag(cmd, "each test")
	junit := cmd.Flags().String("junit", "", "write the results to `FILE` too, in JUnit's XML")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		if len(files) == 0 {
			return usage("%s: expected files of tests: see '%s --help'", cmd.CommandPath(), cmd.CommandPath())
		}
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		runner := maptest.NewRunner(c.Decoding(), c.Kafka.Topic)
		var results []maptest.Result
		for _, file := range files {
			tests, err := maptest.Load(file)
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			of, err := runner.Run(cmd.Context(), file, tests)
			if err != nil {
				return err
			}
			results = append(results, of...)
		}
		if *junit != "" {
			if err := writeJUnit(*junit, results); err != nil {
				return err
			}
		}
		return showResults(s, results, *asJSON)
	}
	return cmd
}

func writeJUnit(path string, results []maptest.Result) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := maptest.WriteJUnit(f, results); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func showResults(s Streams, results []maptest.Result, asJSON bool) error {
	if asJSON {
		for i := range results {
			if err := writeJSON(s.Out, &results[i]); err != nil {
				return err
			}
		}
	} else {
		maptest.Write(s.Out, results)
	}
	for i := range results {
		if !results[i].OK {
			return &silentError{exitFailed}
		}
	}
	return nil
}
