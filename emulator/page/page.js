// The emulator's page: it waits for events, and shows them by request id, as the
// journeys that they tell.
"use strict";

const keptJourneys = 200; // remembered, of which the latest are shown
const shownJourneys = 25;
const keptEvents = 200; // of one journey
const shownJobs = 100;
const pace = 700; // milliseconds between two looks, so that a person can follow
const $ = (id) => document.getElementById(id);

const journeys = new Map(); // by request id, the one that was last added to last
let titles = new Map(), employers = new Map(); // of jobs, by their names of both kinds
let stats = null, jobs = [], companies = [];
let latest = 0, heard = 0;

// make makes an element. Text is only ever set as text.
function make(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

const count = (n) => n.toLocaleString("en");
const plural = (n, one, more) => `${count(n)} ${n === 1 ? one : more}`;

// How far on its way to a job a type is; a parent is not as far.
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

// leadsTo says whether an event is among its own ancestors: ids can be made up.
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
  row.append(make("span", stage(a) === 0 ? "type start" : "type", type.toLowerCase().replaceAll("_", " ")),
    make("span", "what", about(a.event.jobEvent?.jobs ?? [])));
  if (a.duplicate) row.append(make("span", "twice", "the second of its id"));
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
    head.append(make("code", "", id || "no request id"), make("span", "", plural(events.length, "event", "events")), make("span", "", events[0].parent + ", " + events[0].version));
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
  $("detail").textContent = stats.warned === 0 ? "" : empty
    ? "Create companies and jobs here and search them: until then it can't be told which events the service would keep."
    : `${count(stats.warned)} of them would be discarded by the service, which accepts them all the same.`;
  const types = {};
  for (const byVersion of Object.values(stats.byType)) for (const [type, n] of Object.entries(byVersion)) types[type] = (types[type] ?? 0) + n;
  define($("types"), Object.entries(types).sort((a, b) => b[1] - a[1]).map(([type, n]) => [type.toLowerCase().replaceAll("_", " "), count(n)]));
  define($("calls"), [
    ["HTTP requests", count(stats.requests)], ["batches, with parts", `${count(stats.batches)}, ${count(stats.parts)}`],
    ["accepted events", count(stats.accepted)], ["of them with an id that was there before", count(stats.duplicates)],
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

// follow waits for events and shows them, for ever.
async function follow() {
  for (;;) {
    try {
      const news = await ask(latest ? `events?after=${latest}&wait=20s` : "events?limit=300", 40000);
      if (news.latest < latest) journeys.clear(); // it was started anew
      if (!latest) news.events.reverse();
      news.events.forEach(add);
      latest = news.latest;
      stats = await ask("stats", 10000);
      summary();
      if (!held() && news.events.length) show();
    } catch {
      live();
    }
    await rest(pace);
  }
}

// look looks at what the emulator holds, now and then.
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
  $("live").textContent = lost ? "no answer: what is shown is old" : heard ? held() ? "held" : "live" : "connecting…";
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
