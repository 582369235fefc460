package admin

import (
	"slices"

	"github.com/clientevents/clientevents/consumer"
)

// RekeyStatus describes the half of a replica that reads a source topic that is not
// keyed by journey. The partitions of the status are those of the internal topic.
type RekeyStatus struct {
	// Topic is the internal topic, and Group the group that reads it.
	Topic string `json:"topic"`
	Group string `json:"group"`
	// Source are the partitions of the source topic that this replica reads.
	Source []SourcePartition `json:"source_partitions"`
}

// SourcePartition describes a partition of the source topic.
type SourcePartition struct {
	Partition int32            `json:"partition"`
	Restored  bool             `json:"restored"`
	Position  int64            `json:"position"`
	Committed int64            `json:"committed"`
	End       int64            `json:"end"`
	Lag       int64            `json:"lag"`
	Trouble   consumer.Trouble `json:"trouble,omitempty"`
}

// rekeyOf describes the first half of a consumer; nil if it has none.
func rekeyOf(c *consumer.Consumer) *RekeyStatus {
	first := c.First()
	if first == nil {
		return nil
	}
	s, partitions := &RekeyStatus{Source: []SourcePartition{}}, first.Partitions()
	s.Topic, s.Group = c.Topic()
	for i := range partitions {
		p := &partitions[i]
		s.Source = append(s.Source, SourcePartition{p.Partition, p.Restored, p.Position, p.Committed, p.End, p.Lag, p.Trouble})
	}
	return s
}

// partitionsOf returns the partitions of both halves.
func partitionsOf(c *consumer.Consumer) []consumer.PartitionStatus {
	partitions := c.Partitions()
	if first := c.First(); first != nil {
		return slices.Concat(partitions, first.Partitions())
	}
	return partitions
}
