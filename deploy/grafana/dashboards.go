package main

// ageNow is the age of the oldest record without an outcome; 0 where there is
// none.
const ageNow = `(clamp_min(time() - min(clientevents_oldest_unfinished_timestamp_seconds{FILTER} > 0), 0) or vector(0))`

// deadLetterShare is the share of records that became dead letters in the last
// five minutes; 0 where no record had an outcome.
const deadLetterShare = `(sum(rate(clientevents_dead_letters_total{FILTER}[5m])) / (sum(rate(clientevents_records_total{FILTER}[5m])) > 0) or vector(0))`

// orNone completes an expression for the case that no reason holds.
const orNone = ` or on() label_replace(vector(0), "reason", "none", "", "")`

var dashboards = []dashboard{service, api, partitions}

var service = dashboard{
	file: "clientevents-service", title: "clientevents / Service", description: "Throughput, dead letters, lag and problems.",
	rows: []row{
		{"Now", []panel{
			{
				title: "Throughput", kind: "stat", unit: "cps", runbook: "clienteventslaggrowing",
				description: "Events a second that the API accepted.",
				queries:     []query{{`sum(rate(clientevents_reported_total{FILTER}[$__rate_interval]))`, "events/s"}},
			},
			{
				title: "Dead-letter share", kind: "stat", unit: "percentunit", runbook: "clienteventsdeliverybudgetfast", objective: 0.01,
				description: "Share of the records of the last five minutes that became dead letters. The objective is 1 % at most.",
				queries:     []query{{deadLetterShare, "share"}},
			},
			{
				title: "Age of the oldest record", kind: "stat", unit: "s", runbook: "clienteventsfreshnessbudgetfast", objective: 300,
				description: "How long the oldest record without an outcome has waited. The objective is five minutes.",
				queries:     []query{{ageNow, "age"}},
			},
			{
				title: "Records without an outcome", kind: "stat", unit: "short", runbook: "clienteventslaggrowing",
				description: "The lag of all partitions together.",
				queries:     []query{{`sum(clientevents_consumer_lag{FILTER})`, "records"}},
			},
			{
				title: "Problems", kind: "stat", unit: "s", width: 12, runbook: "clienteventsproblem", objective: 1,
				latest: true, states: states{{"no problem", "green"}},
				description: "Each reason for which a replica's status is bad, and for how long. The reasons are those of /status.",
				queries: []query{{
					`max by (reason) (time() - (clientevents_problem_since_timestamp_seconds{FILTER} > 0))` + orNone, "{{reason}}",
				}},
			},
			{
				title: "Active pauses", kind: "stat", unit: "none", runbook: "clienteventsdestinationpaused", objective: 1,
				latest: true, states: states{{"sending", "green"}, {"paused", "red"}},
				description: "Each reason for which a replica sends nothing.",
				queries:     []query{{`(max by (reason) (clientevents_paused{FILTER}) > 0)` + orNone, "{{reason}}"}},
			},
			{
				title: "Replicas ready", kind: "stat", unit: "none", runbook: "clienteventsnotready",
				description: "Replicas that are members of the group, have read their state and do not drain.",
				queries:     []query{{`sum(clientevents_ready{FILTER})`, "ready"}},
			},
		}},
		{"Flow", []panel{
			{
				title: "Read and finished", unit: "cps", width: 12, runbook: "clienteventslaggrowing",
				description: "Records a second that were read, and the outcomes of records.",
				queries: []query{
					{`sum(rate(clientevents_fetched_records_total{FILTER}[$__rate_interval]))`, "read"},
					{`sum by (outcome) (rate(clientevents_records_total{FILTER}[$__rate_interval]))`, "{{outcome}}"},
				},
			},
			{
				title: "Dead letters by reason", unit: "cps", width: 12, runbook: "clienteventsdeliverybudgetfast",
				description: "Records a second that became dead letters, by reason.",
				queries:     per("reason", `clientevents_dead_letters_total{FILTER}`),
			},
			{
				title: "Age of the oldest record, by replica", unit: "s", width: 12, runbook: "clienteventsfreshnessbudgetfast", objective: 300,
				description: "How long the oldest record without an outcome has waited. The objective is five minutes.",
				queries: []query{{
					`clamp_min(time() - (clientevents_oldest_unfinished_timestamp_seconds{FILTER} > 0), 0) or 0 * clientevents_oldest_unfinished_timestamp_seconds{FILTER}`, "{{instance}}",
				}},
			},
			{
				title: "Backlog at the present pace", unit: "s", width: 12, runbook: "clienteventslaggrowing",
				description: "Time until all records have an outcome at the present rate, if no more arrive.",
				queries:     []query{{`sum(clientevents_consumer_lag{FILTER}) / sum(rate(clientevents_records_total{FILTER}[$__rate_interval]))`, "time"}},
			},
			{
				title: "From record to acceptance", unit: "s", width: 12, runbook: "clienteventsfreshnessbudgetfast",
				description: "Time from a record's timestamp to the API's acceptance of its event.",
				queries:     quantiles("clientevents_end_to_end_seconds"),
			},
			{
				title: "Reported events by type", unit: "cps", width: 12, runbook: "clienteventsdeliverybudgetfast",
				description: "Losing one type would skew the ranking's model.",
				queries:     per("type", `clientevents_reported_total{FILTER}`),
			},
			{
				title: "Replicas", kind: "state-timeline", unit: "none", width: 12, runbook: "clienteventsnotready",
				states:      states{{"not ready", "orange"}, {"ready", "green"}},
				description: "Whether each replica is a member of the group, has read its state and does not drain.",
				queries:     []query{{`clientevents_ready{FILTER}`, "{{instance}}"}},
			},
			{
				title: "Quality: jobs that violate a rule", unit: "percentunit", width: 12, runbook: "operations.md#quality-of-journeys",
				description: "Share of the jobs of judged journeys, by rule of Google's documentation. A journey is judged an hour after its first event.",
				queries: []query{{
					`sum by (rule) (rate(clientevents_quality_violations_total{FILTER}[$__rate_interval])) / on() group_left() clamp_min(sum(rate(clientevents_quality_jobs_total{FILTER}[$__rate_interval])), 1e-9)`, "{{rule}}",
				}},
			},
		}},
		{"Objectives", []panel{
			{
				title: "Share of records that become dead letters", unit: "percentunit", runbook: "clienteventsdeliverybudgetfast", objective: 0.01,
				description: "The objective is 1 % at most.",
				queries: []query{
					{`job:clientevents_dead_letters:ratio_rate5m{FILTERJOB}`, "5 min"},
					{`job:clientevents_dead_letters:ratio_rate1h{FILTERJOB}`, "1 h"},
				},
			},
			{
				title: "Share of the time in which records are late", unit: "percentunit", runbook: "clienteventsfreshnessbudgetfast", objective: 0.01,
				description: "Late is longer than five minutes. The objective is 1 % at most.",
				queries: []query{
					{`job:clientevents_stale:avg5m{FILTERJOB}`, "5 min"},
					{`job:clientevents_stale:avg1h{FILTERJOB}`, "1 h"},
				},
			},
			{
				title: "Retention used", unit: "percentunit", runbook: "clienteventsretentionrisk", objective: 0.5,
				description: "The age of the oldest record, as a share of the source topic's retention. At the whole of it, events are lost.",
				queries:     []query{{ageNow + ` / min(clientevents_source_retention_seconds{FILTER})`, "used"}},
			},
		}},
	},
}

var api = dashboard{
	file: "clientevents-api", title: "clientevents / API and quota", description: "Answers of the API, and limits of requests.",
	rows: []row{
		{"Answers", []panel{
			{
				title: "Events by answer", unit: "cps", runbook: "clienteventsdestinationpaused",
				description: "Events a second by the status that the API gave them; error is no answer.",
				queries:     per("code", `clientevents_api_requests_total{FILTER}`),
			},
			{
				title: "Time of a request", unit: "s", runbook: "clienteventslaggrowing",
				description: "Time of one HTTP request, be it a batch.",
				queries:     quantiles("clientevents_api_request_duration_seconds"),
			},
			{
				title: "Events in a request", unit: "none", runbook: "clienteventsquotasaturated",
				description: "How full batches are.",
				queries:     []query{{`sum(rate(clientevents_api_requests_total{FILTER}[$__rate_interval])) / sum(rate(clientevents_api_request_duration_seconds_count{FILTER}[$__rate_interval]))`, "events"}},
			},
			{
				title: "Sent again, by reason", unit: "cps", runbook: "clienteventsdestinationpaused",
				description: "Events a second that have to be sent again.",
				queries:     per("reason", `clientevents_retries_total{FILTER}`),
			},
			{
				title: "Pauses", kind: "state-timeline", unit: "none", runbook: "clienteventsdestinationpaused",
				states:      states{{"sending", "green"}, {"paused", "red"}},
				description: "Whether a replica sends nothing, by reason.",
				queries:     []query{{`max by (reason) (clientevents_paused{FILTER})`, "{{reason}}"}},
			},
			{
				title: "In flight and pending", unit: "short", runbook: "clienteventslaggrowing",
				description: "Events that were sent and whose outcome is not durable yet (a kill reports them again), and events that wait to be sent.",
				queries: []query{
					{`sum(clientevents_in_flight{FILTER})`, "in flight"},
					{`sum(clientevents_pending{FILTER})`, "pending"},
				},
			},
		}},
		{"Quota", []panel{
			{
				title: "Sent, and what is allowed", unit: "cps", runbook: "clienteventsquotasaturated",
				description: "Events a second that were sent, and the rate that is configured or was learned from answers of the API; 0 is no limit.",
				queries: []query{
					{`sum(rate(clientevents_api_requests_total{FILTER}[$__rate_interval]))`, "sent"},
					{`sum(clientevents_rate_limit_events_per_second{FILTER})`, "allowed"},
				},
			},
			{
				title: "Throttled", unit: "percentunit", runbook: "clienteventsquotasaturated", objective: 0.5,
				description: "Share of the time in which events waited for the rate limit or for a destination that failed or asked to wait.",
				queries:     []query{{`sum by (instance) (rate(clientevents_throttled_seconds_total{FILTER}[$__rate_interval]))`, "{{instance}}"}},
			},
			{
				title: "Answered 429", unit: "percentunit", runbook: "clienteventsquotasaturated", objective: 0.05,
				description: "Share of the events that were refused for lack of quota; each of them spends some.",
				queries:     []query{{`sum(rate(clientevents_api_requests_total{FILTER, code="429"}[$__rate_interval])) / sum(rate(clientevents_api_requests_total{FILTER}[$__rate_interval]))`, "429"}},
			},
		}},
		{"Access", []panel{
			{
				title: "Token's time left", unit: "s", runbook: "clienteventstokenfailing",
				description: "When the access token ends. It is renewed five minutes before. There is none with credentials: none.",
				queries:     []query{{`(clientevents_token_expiry_timestamp_seconds{FILTER} > 0) - time()`, "{{instance}}"}},
			},
			{
				title: "Token renewals", unit: "short", runbook: "clienteventstokenfailing",
				description: "Attempts to get an access token, by result.",
				queries:     []query{{`sum by (result) (increase(clientevents_token_refreshes_total{FILTER}[$__rate_interval]))`, "{{result}}"}},
			},
		}},
	},
}

var partitions = dashboard{
	file: "clientevents-partitions", title: "clientevents / Partitions and state", description: "Which partition, which topic, which replica?",
	rows: []row{
		{"Partitions", []panel{
			{
				title: "Records without an outcome, by partition", unit: "short", runbook: "clienteventspartitionstuck",
				description: "The lag of each partition.",
				queries:     []query{{`sum by (partition) (clientevents_consumer_lag{FILTER})`, "{{partition}}"}},
			},
			{
				title: "Age of the oldest record, by partition", unit: "s", runbook: "clienteventspartitionstuck",
				description: "How long each partition's oldest record without an outcome has waited.",
				queries: []query{{
					`max by (partition) (clamp_min(time() - (clientevents_partition_oldest_unfinished_timestamp_seconds{FILTER} > 0), 0) or 0 * clientevents_partition_oldest_unfinished_timestamp_seconds{FILTER})`, "{{partition}}",
				}},
			},
			{
				title: "Progress, by partition", unit: "cps", runbook: "clienteventspartitionstuck",
				description: "Offsets a second by which the watermark moves. A line at 0 with a lag above it is a partition that is stuck.",
				queries:     []query{{`sum by (partition) (rate(clientevents_partition_watermark_offset{FILTER}[$__rate_interval]))`, "{{partition}}"}},
			},
			{
				title: "Partitions of each replica", unit: "none", runbook: "clienteventsnotconsuming",
				description: "How many partitions each replica owns, and how many an operator paused.",
				queries: []query{
					{`clientevents_assigned_partitions{FILTER}`, "{{instance}}"},
					{`sum(clientevents_paused_partitions{FILTER})`, "paused"},
				},
			},
			{
				title: "Rebalances", unit: "short", runbook: "clienteventsrebalancestorm",
				description: "Generations of the group that each replica took part in.",
				queries:     []query{{`increase(clientevents_rebalances_total{FILTER}[$__rate_interval])`, "{{instance}}"}},
			},
			{
				title: "Time of a rebalance", unit: "s", runbook: "clienteventsrebalancestorm",
				description: "From the end of one generation, its drain included, to the next one's assignment.",
				queries:     []query{{`sum(rate(clientevents_rebalance_seconds_sum{FILTER}[$__range])) / sum(rate(clientevents_rebalance_seconds_count{FILTER}[$__range]))`, "mean"}},
			},
			{
				title: "Waiting for a parent", unit: "short", runbook: "clienteventspartitionstuck",
				description: "Events whose parent was not reported yet.",
				queries:     []query{{`sum by (instance) (clientevents_waiting_for_parent{FILTER})`, "{{instance}}"}},
			},
			{
				title: "Failures at the brokers", unit: "cps", runbook: "clienteventskafkafailing",
				description: "Fetches, commits and writes a second that fail and are tried again.",
				queries: []query{
					{`sum(rate(clientevents_fetch_failures_total{FILTER}[$__rate_interval]))`, "fetch"},
					{`sum(rate(clientevents_commit_failures_total{FILTER}[$__rate_interval]))`, "commit"},
					{`sum by (topic) (rate(clientevents_topic_write_failures_total{FILTER}[$__rate_interval]))`, "write {{topic}}"},
				},
			},
			{
				title: "Lost to retention", unit: "short", runbook: "clienteventsrecordslost",
				description: "Offsets that the broker had deleted before they were read.",
				queries:     []query{{`sum(increase(clientevents_lost_offsets_total{FILTER}[$__rate_interval]))`, "offsets"}},
			},
			{
				title: "Recreated topics", unit: "short", runbook: "clienteventstopicrecreated",
				description: "Times that a replica found the source topic deleted and recreated.",
				queries:     []query{{`sum by (instance) (increase(clientevents_recreated_topics_total{FILTER}[$__range]))`, "{{instance}}"}},
			},
		}},
		{"State", []panel{
			{
				title: "State still to be read", unit: "short", runbook: "clienteventsstaterestoretoolong",
				description: "State records to be read before a partition's events are read.",
				queries:     []query{{`sum by (partition) (clientevents_state_restore_remaining_records{FILTER})`, "{{partition}}"}},
			},
			{
				title: "IDs remembered", unit: "short", runbook: "clienteventsmemorynearlimit",
				description: "Event IDs within dedupe.window; each costs 35 to 44 bytes.",
				queries:     []query{{`clientevents_dedupe_entries{FILTER}`, "{{instance}}"}},
			},
			{
				title: "Time of a state write", unit: "s", runbook: "clienteventsstatetopicunwritable",
				description: "Time of a write to the state topic.",
				queries:     quantiles("clientevents_state_write_seconds"),
			},
		}},
		{"Process", []panel{
			{
				title: "Memory", unit: "bytes", runbook: "clienteventsmemorynearlimit",
				description: "Memory of the process, the part of records in process, and the limit, if there is one.",
				queries: []query{
					{`process_resident_memory_bytes{FILTER}`, "{{instance}}"},
					{`clientevents_buffered_bytes{FILTER}`, "records {{instance}}"},
					{`min(clientevents_memory_limit_bytes{FILTER} < +Inf)`, "limit"},
				},
			},
			{
				title: "CPU", unit: "percentunit", runbook: "clienteventslaggrowing",
				description: "Share of a core.",
				queries:     []query{{`rate(process_cpu_seconds_total{FILTER}[$__rate_interval])`, "{{instance}}"}},
			},
			{
				title: "Goroutines", unit: "short", runbook: "clienteventsmemorynearlimit",
				description: "A number that keeps growing is a leak.",
				queries:     []query{{`go_goroutines{FILTER}`, "{{instance}}"}},
			},
			{
				title: "Garbage collection", unit: "percentunit", runbook: "clienteventsmemorynearlimit",
				description: "Share of the time in which the process paused for it.",
				queries:     []query{{`rate(go_gc_duration_seconds_sum{FILTER}[$__rate_interval])`, "{{instance}}"}},
			},
			{
				title: "Versions and configurations", kind: "table", unit: "none", width: 16, runbook: "clienteventsconfigdrift",
				description: "Versions and configurations that run. Replicas that differ in hash differ in some key of the configuration.",
				queries: []query{
					{`count by (version, commit, go) (clientevents_build_info{FILTER})`, ""},
					{`count by (group, topic, api_version, hash) (clientevents_config_info{FILTER})`, ""},
				},
			},
		}},
	},
}
