// Package input turns Kafka records in a team's own format into events: it decodes
// a record's value and applies the jq program of input.mapping.
//
// It is a stage like consumer, batcher and reporter: it knows package event and
// none of the other stages. The consumer declares the interface that it needs, and
// internal/app connects the two.
package input
