/*
 * A plain consumer in C: librdkafka reads a topic, libcurl posts each event, with up to
 * IN_FLIGHT requests at a time in one thread. It checks events, deduplicates them by
 * eventId in memory for an hour, and publishes what is at fault to a topic. An offset is
 * stored when all records before it are finished, so that nothing is lost.
 *
 * usage: consumer BROKERS TOPIC GROUP DEAD-LETTER-TOPIC URL CERTIFICATE
 */
#include <curl/curl.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IN_FLIGHT 64
#define WINDOW_SECONDS 3600
#define MOST_PARTITIONS 256
#define MOST_UNFINISHED 4096 /* records of a partition */

static volatile sig_atomic_t ending;
static rd_kafka_t *consumer, *producer;
static const char *topic, *dead_topic, *url, *certificate;
static CURLM *multi;
static struct curl_slist *headers;

static void end(int signal) {
	(void)signal;
	ending = 1;
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what, const char *why) {
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

/* ---- JSON: what the check needs, and that the rest is well-formed ---- */

struct text {
	const char *at, *end;
};

struct event {
	struct text id, request, created, type;
	int has_jobs;
};

static void blanks(struct text *t) {
	while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\r' || *t->at == '\t'))
		t->at++;
}

static int take(struct text *t, char c) {
	blanks(t);
	if (t->at == t->end || *t->at != c)
		return 0;
	t->at++;
	return 1;
}

static int string(struct text *t, struct text *out) {
	if (!take(t, '"'))
		return 0;
	out->at = t->at;
	for (; t->at < t->end; t->at++) {
		if ((unsigned char)*t->at < ' ')
			return 0;
		if (*t->at == '"') {
			out->end = t->at++;
			return 1;
		}
		if (*t->at == '\\' && ++t->at == t->end)
			return 0;
	}
	return 0;
}

static int is(struct text name, const char *want) {
	return (size_t)(name.end - name.at) == strlen(want) && memcmp(name.at, want, name.end - name.at) == 0;
}

static int value(struct text *t, struct event *e, int level);

static int word(struct text *t) {
	const char *from = t->at;
	while (t->at < t->end && strchr(",]} \t\r\n", *t->at) == NULL)
		t->at++;
	struct text w = {from, t->at};
	if (is(w, "true") || is(w, "false") || is(w, "null"))
		return 1;
	for (const char *c = from; c < t->at; c++)
		if (strchr("+-.eE0123456789", *c) == NULL)
			return 0;
	return t->at > from;
}

/* member reads the value of an object's member; level 1 is the event, 2 its jobEvent. */
static int member(struct text *t, struct text name, struct event *e, int level) {
	struct text *into = NULL;
	if (level == 1)
		into = is(name, "eventId") ? &e->id : is(name, "requestId") ? &e->request : is(name, "createTime") ? &e->created : NULL;
	else if (level == 2 && is(name, "type"))
		into = &e->type;
	if (into != NULL)
		return string(t, into);
	if (level == 1 && is(name, "jobEvent"))
		return value(t, e, 2);
	if (level == 2 && is(name, "jobs")) {
		struct text list = *t;
		e->has_jobs = take(&list, '[') && !take(&list, ']');
	}
	return value(t, e, 100 + level);
}

static int value(struct text *t, struct event *e, int level) {
	struct text s;
	blanks(t);
	if (t->at == t->end || level > 1000)
		return 0;
	if (*t->at == '"')
		return string(t, &s);
	if (take(t, '[')) {
		if (take(t, ']'))
			return 1;
		do {
			if (!value(t, e, 100 + level))
				return 0;
		} while (take(t, ','));
		return take(t, ']');
	}
	if (!take(t, '{'))
		return word(t);
	if (take(t, '}'))
		return 1;
	do {
		if (!string(t, &s) || !take(t, ':') || !member(t, s, e, level))
			return 0;
	} while (take(t, ','));
	return take(t, '}');
}

/* is_time accepts the beginning of RFC 3339, and an offset after it. */
static int is_time(struct text t) {
	static const char shape[] = "0000-00-00T00:00:00";
	size_t n = sizeof shape - 1;
	if ((size_t)(t.end - t.at) <= n)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (shape[i] == '0' ? t.at[i] < '0' || t.at[i] > '9' : t.at[i] != shape[i])
			return 0;
	return t.end[-1] == 'Z' || t.end[-3] == ':';
}

static int check(const char *data, size_t length, struct event *e) {
	struct text t = {data, data + length};
	memset(e, 0, sizeof *e);
	if (!value(&t, e, 1))
		return 0;
	blanks(&t);
	return t.at == t.end && e->id.at < e->id.end && e->request.at < e->request.end && e->type.at < e->type.end &&
	       e->has_jobs && is_time(e->created);
}

/* ---- the ids of the last hour ---- */

struct id {
	unsigned long long a, b; /* 128 bits of a hash; a is 0 for none */
	double at;
};

static struct id *ids;
static size_t id_count, id_room = 1 << 16;

static struct id *place(struct id *in, size_t room, unsigned long long a, unsigned long long b) {
	size_t i = a & (room - 1);
	while (in[i].a != 0 && (in[i].a != a || in[i].b != b))
		i = (i + 1) & (room - 1);
	return &in[i];
}

/* remember adds an id, and returns 0 if it was there within the hour. */
static int remember(struct text id) {
	unsigned long long a = 14695981039346656037ULL, b = 1099511628211ULL;
	for (const char *c = id.at; c < id.end; c++) {
		a = (a ^ (unsigned char)*c) * 1099511628211ULL;
		b = (b + (unsigned char)*c) * 11400714819323198485ULL;
		b ^= b >> 29;
	}
	double t = now();
	struct id *p = place(ids, id_room, a | 1, b);
	if (p->a != 0) {
		int known = t - p->at < WINDOW_SECONDS;
		p->at = known ? p->at : t;
		return !known;
	}
	*p = (struct id){a | 1, b, t};
	if (++id_count * 2 < id_room)
		return 1;
	/* Grow, without those that are too old. */
	size_t room = id_room * 2;
	struct id *larger = calloc(room, sizeof *larger);
	id_count = 0;
	for (size_t i = 0; i < id_room; i++)
		if (ids[i].a != 0 && t - ids[i].at < WINDOW_SECONDS) {
			*place(larger, room, ids[i].a, ids[i].b) = ids[i];
			id_count++;
		}
	free(ids);
	ids = larger, id_room = room;
	return 1;
}

/* ---- offsets: stored when everything before is finished ---- */

struct partition {
	long long first; /* offset of unfinished[0], by its place modulo the size */
	long long next;  /* behind the last record that was read */
	unsigned char finished[MOST_UNFINISHED];
	int assignment;
};

static struct partition partitions[MOST_PARTITIONS];
static int assignment; /* counts rebalances: what was read before one is not stored after it */

static void begin(int number, long long offset) {
	struct partition *p = &partitions[number];
	if (p->assignment != assignment || offset < p->next) { /* or the topic was made again */
		p->assignment = assignment;
		p->first = p->next = offset;
	}
	for (; p->next < offset; p->next++) /* records that compaction left out */
		p->finished[p->next % MOST_UNFINISHED] = 1;
	p->finished[offset % MOST_UNFINISHED] = 0;
	p->next = offset + 1;
}

static void finish(int number, long long offset, int of) {
	struct partition *p = &partitions[number];
	if (of != assignment)
		return;
	p->finished[offset % MOST_UNFINISHED] = 1;
	long long before = p->first;
	while (p->first < p->next && p->finished[p->first % MOST_UNFINISHED])
		p->first++;
	if (p->first == before)
		return;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, topic, number)->offset = p->first;
	rd_kafka_offsets_store(consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
}

static void rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *opaque) {
	(void)opaque;
	assignment++;
	if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		rd_kafka_assign(rk, list);
		return;
	}
	rd_kafka_commit(rk, NULL, 0);
	rd_kafka_assign(rk, NULL);
}

/* ---- requests ---- */

struct request {
	CURL *easy;
	rd_kafka_message_t *message; /* NULL: free */
	int assignment;
	double again; /* when to try again, 0 while it is on its way */
	double pause;
};

static struct request requests[IN_FLIGHT];
static int busy;

static size_t ignore(char *data, size_t size, size_t n, void *opaque) {
	(void)data, (void)opaque;
	return size * n;
}

static void prepare(struct request *r) {
	CURL *e = r->easy = curl_easy_init();
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, ignore);
	curl_easy_setopt(e, CURLOPT_PRIVATE, r);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_TIMEOUT, 30L);
	curl_easy_setopt(e, CURLOPT_CAINFO, certificate);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L);
}

static void send_request(struct request *r) {
	r->again = 0;
	curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, (char *)r->message->payload);
	curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->message->len);
	curl_multi_add_handle(multi, r->easy);
}

static void release(struct request *r) {
	finish(r->message->partition, r->message->offset, r->assignment);
	rd_kafka_message_destroy(r->message);
	r->message = NULL;
	busy--;
}

static void answered(struct request *r, CURLcode result) {
	long status = 0;
	curl_off_t after = 0;
	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &after);
	curl_multi_remove_handle(multi, r->easy);
	if (result == CURLE_OK && status < 300) {
		release(r);
		return;
	}
	if (result == CURLE_OK && status < 500 && status != 429) {
		fprintf(stderr, "the API refuses an event: %ld\n", status);
		rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(dead_topic), RD_KAFKA_V_VALUE(r->message->payload, r->message->len),
				  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK), RD_KAFKA_V_END);
		release(r);
		return;
	}
	r->pause = r->pause == 0 ? 0.1 : r->pause < 10 ? r->pause * 2 : 10;
	r->again = now() + (after > 0 ? (double)after : r->pause);
}

static void dead_letter(rd_kafka_message_t *m) {
	rd_kafka_resp_err_t err = rd_kafka_producev(
		producer, RD_KAFKA_V_TOPIC(dead_topic), RD_KAFKA_V_VALUE(m->payload, m->len),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK), RD_KAFKA_V_END);
	if (err)
		fail("dead letter", rd_kafka_err2str(err));
}

static void read_record(rd_kafka_message_t *m) {
	struct event e;
	begin(m->partition, m->offset);
	int good = check(m->payload, m->len, &e);
	if (good && remember(e.id)) {
		struct request *r = requests;
		while (r->message != NULL)
			r++;
		r->message = m, r->assignment = assignment, r->pause = 0;
		busy++;
		send_request(r);
		return;
	}
	if (!good)
		dead_letter(m); /* the producer is flushed before offsets are committed at the end */
	finish(m->partition, m->offset, assignment);
	rd_kafka_message_destroy(m);
}

static int has_room(void) {
	if (busy == IN_FLIGHT)
		return 0;
	for (int i = 0; i < MOST_PARTITIONS; i++)
		if (partitions[i].assignment == assignment && partitions[i].next - partitions[i].first >= MOST_UNFINISHED - 1)
			return 0;
	return 1;
}

static void drive(void) {
	int running, left;
	CURLMsg *done;
	double t = now();
	for (int i = 0; i < IN_FLIGHT; i++)
		if (requests[i].message != NULL && requests[i].again != 0 && requests[i].again <= t)
			send_request(&requests[i]);
	curl_multi_perform(multi, &running);
	while ((done = curl_multi_info_read(multi, &left)) != NULL) {
		struct request *r;
		if (done->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(done->easy_handle, CURLINFO_PRIVATE, &r);
		answered(r, done->data.result);
	}
}

static void loop(void) {
	double until = 0; /* requests are awaited for a time when it ends */
	while (!ending || until == 0 || (busy > 0 && now() < until)) {
		if (ending && until == 0)
			until = now() + 20;
		while (!ending && has_room()) {
			rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, busy == 0 ? 20 : 0);
			if (m == NULL)
				break;
			if (m->err) {
				fprintf(stderr, "%s\n", rd_kafka_message_errstr(m));
				rd_kafka_message_destroy(m);
				break;
			}
			read_record(m);
		}
		rd_kafka_poll(producer, 0);
		drive();
		/* A full house waits for answers; otherwise records may come meanwhile. */
		if (busy > 0)
			curl_multi_poll(multi, NULL, 0, busy == IN_FLIGHT ? 50 : 1, NULL);
	}
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
	char why[512];
	if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
		fail(name, why);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
	char why[512];
	rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
	if (rk == NULL)
		fail("rd_kafka_new", why);
	return rk;
}

int main(int argc, char **argv) {
	if (argc != 7)
		fail(argv[0], "want brokers, topic, group, dead-letter topic, URL, certificate");
	topic = argv[2], dead_topic = argv[4], url = argv[5], certificate = argv[6];
	signal(SIGTERM, end);
	ids = calloc(id_room, sizeof *ids);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	set(conf, "bootstrap.servers", argv[1]);
	producer = client(RD_KAFKA_PRODUCER, conf);
	conf = rd_kafka_conf_new();
	set(conf, "bootstrap.servers", argv[1]);
	set(conf, "group.id", argv[3]);
	set(conf, "auto.offset.reset", "earliest");
	set(conf, "enable.auto.offset.store", "false");
	rd_kafka_conf_set_rebalance_cb(conf, rebalance);
	consumer = client(RD_KAFKA_CONSUMER, conf);
	rd_kafka_poll_set_consumer(consumer);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
	rd_kafka_subscribe(consumer, list);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: application/json"), "Expect:");
	multi = curl_multi_init();
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)IN_FLIGHT);
	for (int i = 0; i < IN_FLIGHT; i++)
		prepare(&requests[i]);
	loop();
	rd_kafka_flush(producer, 10000);
	rd_kafka_consumer_close(consumer);
	return 0;
}
