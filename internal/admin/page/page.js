// The status page: it asks /status every two seconds and shows the answer.
"use strict";

const every = 2000; // milliseconds
const hiddenEvery = 10000; // in a tab that is not shown
const longest = 10 * 60 * 1000; // what the charts show, once there is so much
const few = 8; // partitions shown at first
const $ = (id) => document.getElementById(id);

let samples = []; // for the charts, the latest last
let showAll = false;
let heard = 0; // when the last answer came
let asked = 0; // when the status was last asked for
let latest = null;

// make makes an element. Text is only ever set as text.
function make(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function count(n) { return Math.round(n).toLocaleString("en"); }
function perSecond(r) { return r < 10 ? String(Math.round(r * 10) / 10) : count(r); }

function lasting(seconds) {
  if (seconds < 1) return Math.round(seconds * 1000) + " ms";
  if (seconds < 10) return (Math.round(seconds * 10) / 10) + " s";
  if (seconds < 120) return Math.round(seconds) + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  if (seconds < 172800) return Math.round(seconds / 3600) + " h";
  return Math.round(seconds / 86400) + " days";
}

const since = (time, now) => lasting(Math.max(0, (Date.parse(now) - Date.parse(time)) / 1000));

// Charts are drawn in a box of 1000 × 100; the rest is CSS.
const svgns = "http://www.w3.org/2000/svg";
function svg(name, attributes) {
  const e = document.createElementNS(svgns, name);
  for (const key in attributes) e.setAttribute(key, attributes[key]);
  return e;
}

// round up to 1, 2 or 5 times a power of ten, so that the scale rests.
function ceiling(v) {
  if (v <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 5, 10].find((m) => m * power >= v) * power;
}

function draw(box, lines, end, span) {
  const top = ceiling(Math.max(...lines.flatMap((l) => l.points.map((p) => p.v)), 0));
  const x = (t) => (1000 - (end - t) / span * 1000).toFixed(1);
  const y = (v) => (100 - v / top * 100).toFixed(1);
  const picture = svg("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img" });
  picture.setAttribute("aria-label", lines.map((l) => l.name + " now " + perSecond(l.points.at(-1)?.v ?? 0)).join(", "));
  for (const at of [0, 50, 100]) picture.append(svg("line", { class: "grid", x1: 0, x2: 1000, y1: at, y2: at }));
  for (const line of lines) {
    const points = line.points.filter((p) => p.t > end - span);
    if (points.length === 0) continue;
    const path = points.map((p, i) => (i ? "L" : "M") + x(p.t) + " " + y(p.v)).join("");
    if (line.area) picture.append(svg("path", { class: "area " + line.kind, d: path + `L${x(points.at(-1).t)} 100L${x(points[0].t)} 100Z` }));
    picture.append(svg("path", { class: line.kind, d: path }));
  }
  box.replaceChildren(picture, make("span", "axis top", count(top)), make("span", "axis bottom", "0"));
}

// rates makes of counts the change a second, over about ten seconds.
function rates(field) {
  const points = [];
  for (let i = 1; i < samples.length; i++) {
    const a = samples[Math.max(0, i - 5)], b = samples[i];
    if (b.t > a.t) points.push({ t: b.t, v: Math.max(0, (b[field] - a[field]) / (b.t - a.t) * 1000) });
  }
  return points;
}

function charts() {
  const end = samples.at(-1)?.t ?? Date.now();
  const span = Math.min(longest, Math.max(60000, end - (samples[0]?.t ?? end)));
  for (const note of document.querySelectorAll(".span")) note.textContent = "last " + lasting(span / 1000);
  draw($("rates"), [
    { name: "reported", kind: "reported", points: rates("reported"), area: true },
    { name: "duplicates", kind: "duplicate", points: rates("duplicate") },
    { name: "dead letters", kind: "dead", points: rates("dead_letter") },
  ], end, span);
  draw($("lags"), [{ name: "records without outcome", kind: "lag", points: samples.map((s) => ({ t: s.t, v: s.lag })), area: true }], end, span);
}

function remember(s) {
  const sample = { t: Date.parse(s.now), lag: s.backlog.records };
  for (const name of ["reported", "duplicate", "dead_letter", "skipped"]) sample[name] = s.outcomes[name] ?? 0;
  if (samples.length && sample.t <= samples.at(-1).t) return;
  samples.push(sample);
  while (samples[0].t < sample.t - longest - 20000) samples.shift();
}

function summary(s) {
  headline(s.summary);
  const [top, ...others] = s.problems;
  const more = top?.reason === s.summary.reason ? others : s.problems;
  $("others").replaceChildren(...more.map((p) => make("li", "", p.headline + (p.detail ? ". " + p.detail : ""))));
  $("rate").textContent = perSecond(s.rates.reported);
  $("behind").textContent = lagText(s);
  $("lag").textContent = count(s.backlog.records);
  $("share").textContent = percent(s.recent.dead_letter_share);
  $("span").textContent = s.recent.seconds > 290 ? "five minutes" : lasting(s.recent.seconds);
  const limit = s.reporter.rate_events_per_second;
  $("quota").textContent = limit ? percent(Math.min(1, s.rates.reported / limit)) : "no limit";
  $("quota-label").textContent = limit ? "of the quota or rate limit used" : "no rate limit is set, and no quota is known";
}

// headline shows a summary. A screen reader is told when its level or reason changes,
// and not of each new number.
let announced = "";
function headline(p) {
  $("summary").dataset.level = p.level;
  const texts = { headline: p.headline, detail: p.detail ?? "", affects: p.affects ?? "", advice: p.advice ?? "" };
  for (const part in texts) {
    if ($(part).textContent !== texts[part]) $(part).textContent = texts[part];
  }
  document.title = p.headline + " · clientevents";
  const key = p.level + " " + (p.reason ?? "");
  if (key !== announced) $("announce").textContent = p.headline;
  announced = key;
}

// lagText is the age of the oldest record without an outcome.
function lagText(s) {
  if (s.backlog.oldest) return since(s.backlog.oldest, s.now);
  return s.backlog.records > 0 ? "not read" : "0 s";
}

function percent(share) {
  const p = share * 100;
  return (p > 0 && p < 10 ? Math.round(p * 10) / 10 : Math.round(p)) + " %";
}

const troubles = { fetch: "can't be read", state_topic: "state topic can't be written", dead_letter_topic: "dead-letter topic can't be written", by_request_topic: "internal topic can't be written", state_read: "state topic can't be read", decode: "a record can't be decoded now", open_transaction: "a producer's transaction is open" };

function stateOf(p) {
  if (p.trouble) return ["trouble", troubles[p.trouble] ?? p.trouble];
  if (p.paused) return ["held", p.paused_since ? "paused by an operator" : "paused with its replica"];
  if (!p.restored) return ["held", `reading its state, ${count(p.restore_remaining_records ?? 0)} left`];
  return ["", "reading"];
}

function partitions(s) {
  const all = [...(s.partitions ?? [])].sort((a, b) => b.lag - a.lag || a.partition - b.partition);
  const rows = (showAll ? all : all.slice(0, few)).map((p) => {
    const row = rowOf(p.partition);
    const [kind, text] = stateOf(p);
    const texts = [p.partition, count(p.lag), p.oldest_unfinished ? since(p.oldest_unfinished, s.now) : "–",
      count(p.unfinished - p.waiting_for_parent), count(p.waiting_for_parent), count(p.dedupe_entries)];
    texts.forEach((t, i) => { row.cells[i].textContent = t; });
    row.state.textContent = text;
    row.state.className = kind;
    row.button.hidden = !s.admin.actions || !$("token").value || !p.restored;
    row.button.textContent = p.paused_since ? "Resume" : "Pause";
    return row.element;
  });
  fill($("partitions"), rows, 7, "This replica has no partitions at the moment.");
  $("more").hidden = all.length <= few;
  $("more").textContent = showAll ? "Show the slowest" : `Show all ${all.length}`;
}

// A partition's row is made once: a button that is replaced while it is pressed
// would not be.
const kept = new Map();
function rowOf(id) {
  if (kept.has(id)) return kept.get(id);
  const element = make("tr");
  const cells = ["", "", "", "wide", "wide", "wide"].map((c) => make("td", c));
  const last = make("td", "state"), state = make("span"), button = make("button", "small");
  button.type = "button";
  button.addEventListener("click", () => act(button.textContent.toLowerCase(), { partition: id }));
  last.append(state, button);
  element.append(...cells, last);
  const row = { element, cells, state, button };
  kept.set(id, row);
  return row;
}

function fill(body, rows, columns, none) {
  if (rows.length === 0) {
    const cell = make("td", "none", none);
    cell.colSpan = columns;
    rows = [make("tr")];
    rows[0].append(cell);
  }
  if (rows.length === body.children.length && rows.every((r, i) => r === body.children[i])) return;
  body.replaceChildren(...rows);
}

function define(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value, kind]) => [make("dt", kind ? "key " + kind : "", name), make("dd", "", value)]));
}

function outcomes(s) {
  const kinds = [["reported", "reported", "reported"], ["duplicates", "duplicate", "duplicate"], ["dead letters", "dead_letter", "dead"], ["skipped, without a value", "skipped", "skipped"]];
  define($("outcomes"), kinds.map(([name, field, kind]) => [name, count(s.outcomes[field] ?? 0), kind]));
  $("bar").replaceChildren(...kinds.filter(([, field]) => s.outcomes[field] > 0).map(([, field, kind]) => {
    const part = make("span", kind);
    part.style.flexGrow = s.outcomes[field];
    return part;
  }));
}

function api(s) {
  const r = s.reporter;
  const pairs = [
    ["to", s.destination.endpoint],
    ["parent", s.destination.parent + ", " + s.destination.api_version],
    ["state", r.gate.open ? "taking events" : `waiting (${r.gate.reason}) for ${since(r.gate.since, s.now)}`],
    ["events in flight, pending", count(s.in_flight) + ", " + count(s.pending)],
    ["rate limit", limitText(r, s.admin)],
    ["waited for quota or API", `${Math.round(s.rates.throttled_share * 100)} % of 10 s, ${lasting(r.throttled_seconds)} in all`],
    ["HTTP batches", r.batches ? "yes" : "no: the endpoint does not know them"],
    ["access token", r.token_expiry ? tokenText(r.token_expiry, s.now) : "none"],
  ];
  if (r.token_error) pairs.push(["no new token", r.token_error]);
  if (r.refusals_held) pairs.push(["rejected events held", count(r.refusals_held)]);
  define($("api"), pairs);
  const order = ([a], [b]) => (a < b ? -1 : 1);
  chips($("answers"), Object.entries(r.answers).sort(order).map(([code, n]) => [code === "error" ? "no answer" : "HTTP " + code, n]));
}

// filesText describes the configuration in force and the certificates in use.
function filesText(s) {
  const reload = s.config.last_reload;
  const parts = ["configuration " + s.config.hash];
  if (reload.time) parts.push(`last reload ${since(reload.time, s.now)} ago: ${reload.result}`);
  for (const c of s.certificates) parts.push(`certificate of ${c.key} expires on ${c.expires.slice(0, 10)}`);
  return parts.join("; ");
}

// limitText says which limit holds, and whose it is.
function limitText(r, admin) {
  const rate = r.rate_events_per_second;
  if (!rate) return "none";
  const configured = r.configured_events_per_second ?? 0;
  let whose = "as configured";
  if (r.learned_events_per_second && (!configured || rate < configured)) {
    whose = "learned" + (configured ? `; ${perSecond(configured)} as configured` : "");
  }
  if (admin.rate_override) whose = "set by an operator";
  return `${perSecond(rate)} events/s, ${whose}`;
}

function chips(box, pairs) {
  box.replaceChildren(...pairs.map(([name, n]) => {
    const chip = make("span", "chip", name + " ");
    chip.append(make("b", "", typeof n === "number" ? count(n) : n));
    return chip;
  }));
}

function tokenText(expiry, now) {
  const left = (Date.parse(expiry) - Date.parse(now)) / 1000;
  return left > 0 ? `good for ${lasting(left)}` : "has expired";
}

function letters(s) {
  const rows = s.latest_dead_letters.map((l) => {
    const row = make("tr"), reason = make("td", "state");
    reason.append(make("code", "", l.reason), " " + l.meaning + (l.http_status ? ` (HTTP ${l.http_status})` : ""));
    row.append(make("td", "", since(l.time, s.now) + " ago"), reason, make("td", "", l.partition), make("td", "", l.offset));
    return row;
  });
  fill($("latest"), rows, 4, "None since this replica started.");
  const reasons = Object.entries(s.dead_letters).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  chips($("reasons"), reasons);
}

// The rules of quality, as the end of "jobs that were".
const qualityRules = {
  view_without_impression: "viewed without having been shown",
  impression_without_view: "shown, and neither viewed nor applied to (normal for most jobs, not for all)",
  quick_submission_not_alone: "applied to by quick submission and by start or finish, too",
  start_from_search_with_view: "applied to from the search results and viewed, too",
  redirect_from_search_not_alone: "redirected from the search results and viewed, started or finished, too",
  application_without_view: "applied to without having been viewed",
  outcome_without_application: "marked as hired or interview granted, without an application",
};

function quality(s) {
  const q = s.quality;
  $("quality-note").textContent = `${count(q.journeys)} journeys with ${count(q.jobs)} jobs, reported by this replica in the last ${lasting(q.window_seconds)}`;
  const rows = (q.jobs > 0 ? q.rules : []).map((r) => {
    const row = make("tr");
    row.append(make("td", "", qualityRules[r.rule] ?? r.meaning), make("td", "", count(r.jobs)), make("td", "", percent(r.jobs / q.jobs)));
    return row;
  });
  fill($("quality-rules"), rows, 3, "No journey yet.");
  chips($("quality-types"), q.types.filter((t) => t.events > 0).map((t) => [t.type, percent(t.share)]));
}

function admin(s) {
  const a = s.admin;
  $("on").hidden = !a.actions;
  $("off").hidden = a.actions;
  $("off").textContent = a.off_because ?? "";
  $("level").hidden = !a.log_level; // it can't be changed here
  const pairs = [];
  if (a.paused) pairs.push(["this replica", "is paused"]);
  if (a.drained) pairs.push(["this replica", "has drained"]);
  if (a.rate_override) pairs.push(["rate", `${perSecond(a.rate_override)} events/s for another ${left(a.rate_override_until, s.now)}`]);
  if (a.log_level) pairs.push(["log level", a.log_level + (a.log_level_until ? ` for another ${left(a.log_level_until, s.now)}` : "")]);
  define($("admin"), pairs);
  $("done").hidden = a.latest.length === 0;
  $("done-rows").replaceChildren(...a.latest.map((l) => {
    const row = make("tr");
    row.append(make("td", "", since(l.time, s.now) + " ago"), make("td", "state", l.what), make("td", "state", l.by));
    return row;
  }));
}

const left = (time, now) => lasting(Math.max(0, (Date.parse(time) - Date.parse(now)) / 1000));

// act asks for an action. The token goes in a header, which no other site's page
// could send.
async function act(name, params) {
  say(`${name}…`);
  try {
    const answer = await fetch("/admin/" + name, {
      method: "POST", headers: { Authorization: "Bearer " + $("token").value }, body: new URLSearchParams(params),
    });
    const body = await answer.json();
    if (body.error) say(body.error, true);
    else say(body.done ? `Done: ${body.what}.` : `In progress: ${body.what}. The status shows when it is done.`);
  } catch (e) {
    say(`No answer: ${e.message}`, true);
  }
  refresh();
}

function say(text, refused) {
  $("answer").textContent = text;
  $("answer").className = refused ? "note refused" : "note";
}

// What each button asks for.
const asks = {
  pause: () => act("pause"),
  resume: () => act("resume"),
  drain: () => act("drain"),
  rate: () => act("rate", { events_per_second: $("rate-value").value, for: $("rate-for").value }),
  "rate-default": () => act("rate", { events_per_second: "default" }),
  "log-level": () => act("log-level", { level: $("level-value").value, for: $("level-for").value }),
  "log-level-default": () => act("log-level", { level: "default" }),
};

for (const button of document.querySelectorAll("[data-act]")) {
  const text = button.textContent;
  button.addEventListener("click", () => {
    if (button.dataset.confirm && button.textContent === text) {
      button.textContent = button.dataset.confirm;
      setTimeout(() => { button.textContent = text; }, 5000);
      return;
    }
    button.textContent = text;
    asks[button.dataset.act]();
  });
}

$("token").addEventListener("input", () => {
  $("buttons").disabled = !$("token").value;
  if (latest) partitions(latest);
});

function show(s) {
  latest = s;
  remember(s);
  summary(s);
  charts();
  partitions(s);
  outcomes(s);
  api(s);
  letters(s);
  quality(s);
  admin(s);
  $("about").textContent = `${s.version}, up for ${since(s.started, s.now)}; group ${s.source.group} on topic ${s.source.topic}; ${filesText(s)}`;
}

function liveness() {
  const silence = Date.now() - heard;
  const lost = heard > 0 && silence > 3 * (document.hidden ? hiddenEvery : every);
  $("live").className = lost ? "live lost" : "live";
  $("live").textContent = lost ? `no answer for ${lasting(silence / 1000)}: the page is out of date` : "live";
  document.querySelector("main").className = lost ? "stale" : "";
  if (!lost) return;
  headline({
    level: "stale", headline: "Out of date: the replica does not answer", detail: `The last answer came at ${new Date(heard).toLocaleTimeString()}.`,
    affects: "The numbers below are old.", advice: "Check that the process runs. The page continues when it answers.",
  });
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function refresh() {
  if (document.hidden && Date.now() - asked < hiddenEvery) return liveness();
  asked = Date.now();
  try {
    const s = await ask("/status");
    heard = Date.now();
    show(s);
  } catch {
    // The liveness line says so; the server may be on its way down.
  }
  liveness();
}

async function start() {
  try {
    const before = await ask("/status/history");
    samples = before.samples.map((s) => ({ ...s, t: Date.parse(s.time) }));
  } catch {
    // The charts begin empty.
  }
  await refresh();
  setInterval(refresh, every);
  document.addEventListener("visibilitychange", refresh);
}

$("more").addEventListener("click", () => {
  showAll = !showAll;
  if (latest) partitions(latest);
});
start();
