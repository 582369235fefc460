// The emulator's page: it waits for events, and shows them by request id, as
// journeys.
"use strict";

const keptJourneys = 200; // remembered, of which the latest are shown
const shownJourneys = 25;
const keptEvents = 200; // of one journey
const shownJobs = 100;
const pace = 700; // milliseconds between two looks, so that a person can follow
const $ = (id) => document.getElementById(id);

const journeys = new Map(); // by request id, the one that was last added to last
let titles = new Map(), employers = new Map(); // of jobs, by their names of both kinds
let stats = null, report = null, jobs = [], companies = [];
let latest = 0, heard = 0;

// make makes an element. Text is only ever set as text.
function make(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

const count = (n) => n.toLocaleString("en");
const percent = (share) => share.toLocaleString("en", { style: "percent", maximumFractionDigits: 1 });
const words = (name) => name.toLowerCase().replaceAll("_", " ");
const plural = (n, one, more) => `${count(n)} ${n === 1 ? one : more}`;

// The stage of a journey that a type belongs to; a parent's is earlier.
const stages = {
  IMPRESSION: 0, NOTIFICATION: 0, VIEW: 1, APPLICATION_FINISH: 3, INTERVIEW_GRANTED: 4, HIRED: 5,
};
const stage = (a) => stages[a.event.jobEvent?.type] ?? 2;

function add(a) {
  const id = a.event.requestId ?? "";
  const events = journeys.get(id) ?? [];
  journeys.delete(id); // so that it becomes the last
  journeys.set(id, events);
  events.push(a);
  if (events.length > keptEvents) events.shift();
  if (journeys.size > keptJourneys) journeys.delete(journeys.keys().next().value);
}

// parentOf finds the event that led to another: the one it names, or, in the
// versions that name none, the latest that can have, about one of its jobs.
function parentOf(a, events) {
  const named = a.event.parentEventId;
  if (named) return events.find((b) => b !== a && b.event.eventId === named);
  const wanted = a.event.jobEvent?.jobs ?? [];
  return events.filter((b) => b.number < a.number && stage(b) < stage(a) && b.event.jobEvent?.jobs?.some((j) => wanted.includes(j)))
    .sort((x, y) => stage(y) - stage(x) || y.number - x.number)[0];
}

function tree(events) {
  const children = new Map([[null, []]]);
  for (const a of events) {
    const parent = leadsTo(a, parentOf(a, events), events) ? null : parentOf(a, events) ?? null;
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(a);
  }
  return branch(null, children);
}

// leadsTo reports whether an event is among its own ancestors: ids can be made up.
function leadsTo(a, parent, events) {
  for (let steps = 0; parent && steps < keptEvents; steps++) {
    if (parent === a) return true;
    parent = parentOf(parent, events);
  }
  return Boolean(parent);
}

function branch(parent, children) {
  const list = make("ul", "tree");
  for (const a of children.get(parent) ?? []) {
    const item = make("li");
    item.append(line(a));
    if (children.has(a)) item.append(branch(a, children));
    list.append(item);
  }
  return list;
}

function line(a) {
  const row = make("div", "event"), type = a.event.jobEvent?.type ?? "?";
  row.append(make("span", stage(a) === 0 ? "type start" : "type", words(type)),
    make("span", "what", about(a.event.jobEvent?.jobs ?? [])));
  if (a.duplicate) row.append(make("span", "twice", "duplicate ID"));
  row.append(make("span", "id", a.event.eventId), make("span", "when", new Date(a.time).toLocaleTimeString("en-GB")));
  for (const w of a.warnings ?? []) row.append(make("span", "warning", `${w.field}: ${w.reason}`));
  return row;
}

// about names the jobs of an event: the one, or the titles that there are most of.
function about(names) {
  const titleOf = (n) => titles.get(n) ?? n.split("/").slice(-2).join("/");
  if (names.length === 1) return titleOf(names[0]) + (employers.has(names[0]) ? " at " + employers.get(names[0]) : "");
  const often = new Map();
  for (const n of names) often.set(titleOf(n), (often.get(titleOf(n)) ?? 0) + 1);
  const most = [...often].sort((a, b) => b[1] - a[1]).slice(0, 3);
  const rest = names.length - most.reduce((sum, [, n]) => sum + n, 0);
  return most.map(([title, n]) => title + (n > 1 ? ` ×${n}` : "")).join(", ") + (rest ? ` and ${rest} more` : "");
}

function matches(id, events) {
  const text = $("find").value.trim().toLowerCase();
  if ($("faulty").checked && !events.some((a) => a.warnings?.length)) return false;
  return !text || id.toLowerCase().includes(text) || events.some((a) => a.event.eventId.toLowerCase().includes(text)
    || a.event.jobEvent?.jobs?.some((j) => j.toLowerCase().includes(text) || (titles.get(j) ?? "").toLowerCase().includes(text)));
}

function show() {
  const found = [...journeys].reverse().filter(([id, events]) => matches(id, events)).slice(0, shownJourneys);
  $("journeys").replaceChildren(...found.map(([id, events]) => {
    const e = make("article", "journey"), head = make("h3");
    head.append(make("code", "", id || "no request ID"), make("span", "", plural(events.length, "event", "events")), make("span", "", events[0].parent + ", " + events[0].version));
    e.append(head, tree(events));
    return e;
  }));
  $("none").hidden = journeys.size > 0;
}

function define(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
}

function summary() {
  const empty = jobs.length === 0;
  const held = empty ? "No jobs here yet" : `${plural(jobs.length, "job", "jobs")} of ${plural(companies.length, "company", "companies")}`;
  $("headline").textContent = `${held}; ${plural(stats.accepted, "event", "events")} accepted`;
  $("detail").textContent = stats.warned > 0
    ? `${count(stats.warned)} of them would be discarded: the service accepts such events, and ignores them later.`
    : empty && stats.accepted > 0
      ? "Create companies and jobs here and search them: only then can this page show which events the service would keep."
      : "";
  define($("types"), report.types.map((t) => [words(t.type), `${count(t.events)} (${percent(t.share)})`]));
  define($("rules"), [
    ...Object.entries(report.discarded).filter(([, n]) => n > 0).map(([rule, n]) => ["discarded: " + words(rule), plural(n, "event", "events")]),
    ...report.rules.filter((r) => r.jobs > 0).map((r) => [r.meaning, `${plural(r.jobs, "job", "jobs")} of ${plural(r.journeys, "journey", "journeys")}`]),
  ]);
  $("rules-note").textContent = `${plural(report.jobs, "job", "jobs")} of ${plural(report.journeys, "journey", "journeys")}`;
  define($("calls"), [
    ["HTTP requests", count(stats.requests)], ["batches, with parts", `${count(stats.batches)}, ${count(stats.parts)}`],
    ["accepted events", count(stats.accepted)], ["of them with a duplicate ID", count(stats.duplicates)],
    ["of them that would be discarded", count(stats.warned)],
    ...Object.entries(stats.refused ?? {}).map(([code, n]) => ["answered " + code, count(n)]),
  ]);
}

function holdings() {
  const byName = (field) => new Map(jobs.flatMap((j) => [[j.name, j[field]], [j.alias, j[field]]]));
  titles = byName("title");
  employers = byName("companyDisplayName");
  $("jobs").replaceChildren(...jobs.slice(0, shownJobs).map((j) => {
    const row = make("tr"), name = make("td", "wide");
    name.append(make("code", "", j.alias || j.name));
    row.append(make("td", "", j.title), make("td", "", j.companyDisplayName), make("td", "wide", j.requisitionId),
      make("td", "wide", j.languageCode), make("td", "", j.open ? "open" : "expired"), name);
    return row;
  }));
  $("jobs-note").textContent = jobs.length > shownJobs ? `the first ${shownJobs} of ${count(jobs.length)}` : jobs.length ? "" : "none yet";
}

async function ask(path, timeout) {
  const answer = await fetch("/emulator/" + path, { cache: "no-store", signal: AbortSignal.timeout(timeout) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  heard = Date.now();
  return answer.json();
}

const rest = (ms) => new Promise((done) => setTimeout(done, ms));
const held = () => $("hold").getAttribute("aria-pressed") === "true";

// follow waits for events and shows them.
async function follow() {
  for (;;) {
    try {
      const news = await ask(latest ? `events?after=${latest}&wait=20s` : "events?limit=300", 40000);
      if (news.latest < latest) journeys.clear(); // the emulator was restarted
      if (!latest) news.events.reverse();
      news.events.forEach(add);
      latest = news.latest;
      [stats, report] = await Promise.all([ask("stats", 10000), ask("report", 10000)]);
      summary();
      if (!held() && news.events.length) show();
    } catch {
      live();
    }
    await rest(pace);
  }
}

// look reads the jobs and companies every three seconds.
async function look() {
  for (;;) {
    try {
      const [j, c] = await Promise.all([ask("jobs", 10000), ask("companies", 10000)]);
      const changed = JSON.stringify(j.jobs) !== JSON.stringify(jobs);
      [jobs, companies] = [j.jobs, c.companies];
      if (stats) summary();
      if (changed || titles.size === 0) {
        holdings();
        if (!held()) show();
      }
    } catch {
      live();
    }
    await rest(3000);
  }
}

function live() {
  const silence = Date.now() - heard, lost = heard > 0 && silence > 25000;
  $("live").className = lost ? "live lost" : "live";
  $("live").textContent = lost ? "no response: the page is out of date" : heard ? held() ? "held" : "live" : "connecting…";
}

$("address").textContent = location.origin;
for (const id of ["find", "faulty"]) $(id).addEventListener("input", show);
$("hold").addEventListener("click", () => {
  $("hold").setAttribute("aria-pressed", String(!held()));
  live();
  if (!held()) show();
});
setInterval(live, 1000);
follow();
look();
