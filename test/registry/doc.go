// Package registry tests the input formats against a real schema registry, Apicurio's,
// with records that Confluent's serializers for Python and Java's Avro wrote, and with a whole run.
// -records=100000 makes the run longer.
package registry
