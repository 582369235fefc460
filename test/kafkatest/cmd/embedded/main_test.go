package main

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
)

func TestRunServesTheTopicsUntilItsInputEnds(t *testing.T) {
	in, hold := io.Pipe()
	printed, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(t.Context(), []string{"-topic", "a:3", "-topic", "b:1"}, in, out) }()
	address, err := bufio.NewReader(printed).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := kafka.DialContext(t.Context(), "tcp", strings.TrimSpace(address))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	partitions, err := conn.ReadPartitions("a", "b")
	if err != nil || len(partitions) != 4 {
		t.Errorf("%d partitions, %v; want 3 of a and 1 of b", len(partitions), err)
	}
	hold.Close()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestRunRefusesTopicsWithoutPartitions(t *testing.T) {
	for _, topic := range []string{"a", "a:0", ":1", "a:many"} {
		if err := run(t.Context(), []string{"-topic", topic}, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("-topic %s: no error", topic)
		}
	}
}
