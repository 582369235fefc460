// Package mapping embeds the mappings of this folder and their schemas, so that the
// programs use the documented copy.
package mapping

import "embed"

// Files holds NAME/clientevents.yaml for each mapping, and the schemas beside them.
//
//go:embed */clientevents.yaml avro/job_event.avsc protobuf/job_event.proto
var Files embed.FS
