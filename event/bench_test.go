package event

import (
	"fmt"
	"strings"
	"testing"
)

// Records of about the sizes that a VIEW and an IMPRESSION of ten jobs have.
func benchRecords() map[string]string {
	const requestID = `"8d2bdd5d-1361-42a5-a0fd-bd2b58b7d8fb:APAb7ISd4Sc5faibw2V5hTU/OoC2WAW5AA=="`
	view := recordWith(V3, edits{
		"eventId": `"5f0c7f0e-6a5b-4f0e-9d0e-0c8f2e6b7a11"`, "requestId": requestID, "parentEventId": `"0b8d1c52-3e6f-4a7b-8c9d-1e2f3a4b5c6d"`,
		"jobs": `["projects/acme-careers/jobs/115822893641089734"]`, "extraInfo": `{"page":"1"}`,
	})
	var jobs []string
	for i := range 10 {
		jobs = append(jobs, fmt.Sprintf(`"projects/acme-careers/jobs/1158228936410897%02d"`, i))
	}
	impression := recordWith(V3, edits{
		"eventId": `"5f0c7f0e-6a5b-4f0e-9d0e-0c8f2e6b7a11"`, "requestId": requestID, "type": `"IMPRESSION"`,
		"jobs": "[" + strings.Join(jobs, ",") + "]", "extraInfo": `{"page":"1","sort":"relevance"}`,
	})
	snake := strings.NewReplacer("eventId", "event_id", "parentEventId", "parent_event_id", "requestId", "request_id",
		"createTime", "create_time", "jobEvent", "job_event", "extraInfo", "extra_info").Replace(view)
	return map[string]string{
		"view":       view,
		"impression": impression,
		"snake_case": snake,
		"mixed":      strings.Replace(view, "createTime", "create_time", 1),
		"faulty":     strings.Replace(view, "createTime", "created", 1),
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"view", "impression", "snake_case", "mixed", "faulty"} {
		data := []byte(benchRecords()[name])
		b.Run(fmt.Sprintf("%s-%dB", name, len(data)), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, f := Decode(data, V3); (f != nil) != (name == "faulty") {
					b.Fatal(f)
				}
			}
		})
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	for _, name := range []string{"view", "impression"} {
		e := decoded(b, benchRecords()[name], V3)
		b.Run(fmt.Sprintf("%s-%dB", name, len(e.AppendRequest(nil, V3))), func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst = e.AppendRequest(dst[:0], V3)
			}
		})
	}
}

func BenchmarkContent(b *testing.B) {
	e := decoded(b, benchRecords()["view"], V3)
	b.ReportAllocs()
	for b.Loop() {
		e.Content()
	}
}
