// One run at a time: its table, its log, its failures and events, as they come.
import { Log } from "./log.js";
import { clean, clock, count, duration, element, ending, size } from "./text.js";

const $ = (id) => document.getElementById(id);
const MOST_EVENTS = 500, LOOK_AGAIN = 5000, LOOK_SOON = 1500;
const log = new Log($("log"));
const state = { run: null, chosen: new Set(), source: null, resting: false, looking: 0, over: null, rows: new Map(), token: "", actions: false, skew: 0, table: null,
  lost: 0, failed: null };

const address = (...parts) => ["api", "runs", ...parts.map((part) => encodeURIComponent(part))].join("/");

const problemOf = async (response) => (await response.json().catch(() => ({}))).detail ?? response.statusText;

async function get(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(await problemOf(response));
  return response.json();
}

// Runs

async function lookForRuns() {
  try {
    const { runs, actions } = await get("api/runs");
    state.actions = actions;
    showRuns(runs);
    if (state.source?.readyState === EventSource.OPEN) connection("live", "live");
    const shown = runs.find((run) => run.name === state.run);
    if (!shown) choose(runs.length ? runs[0].name : null);
    else if (state.resting) document.title = `${shown.title}: ${shown.state}`;
    else if (state.source === null) follow(shown);
  } catch (error) {
    connection("waiting", `not connected: ${error.message}`);
  }
  look(state.source || state.resting ? LOOK_AGAIN : LOOK_SOON);
}

function look(pause) {
  clearTimeout(state.looking);
  state.looking = setTimeout(lookForRuns, pause);
}

function showRuns(runs) {
  const place = $("runs");
  place.hidden = runs.length < 2;
  const names = runs.map((run) => run.name).join("\n");
  if (place.dataset.names !== names) {
    place.dataset.names = names;
    place.replaceChildren(...runs.map((run) => {
      const button = element("button", { type: "button", textContent: run.name });
      button.addEventListener("click", () => choose(run.name));
      return button;
    }));
  }
  for (const button of place.children) button.setAttribute("aria-current", String(button.textContent === state.run));
}

function choose(name) {
  if (name === null && state.run === null && $("nothing").hidden === false) return;
  state.run = name;
  state.chosen.clear();
  state.failed = null;
  state.over = null;
  $("rows").replaceChildren();
  $("events").replaceChildren();
  $("failures").replaceChildren();
  state.rows.clear();
  $("nothing").textContent = "There is no run yet.";
  $("nothing").hidden = name !== null;
  $("title").textContent = document.title = name ?? "aelastic";
  $("summary").textContent = "";
  $("run-actions").hidden = true;
  log.clear();
  state.lost = 0;
  counts();
  showChosen();
  connect();
}

// A run that had ended, or was absent, may be there again under the same name.
function follow(outline) {
  if (outline.state === "absent") {
    $("nothing").textContent = `${outline.title} was not started yet.`;
    $("nothing").hidden = false;
    connection("waiting", "not started");
  } else if (state.over === null || !["succeeded", "failed", "stopped"].includes(outline.state)) connect();
}

// The stream

function connect() {
  state.source?.close();
  state.source = null;
  if (state.run === null || state.resting) return;
  const ranks = state.chosen.size ? `?ranks=${[...state.chosen].join(",")}` : "";
  const source = state.source = new EventSource(`${address(state.run, "stream")}${ranks}`);
  const on = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
  source.onopen = () => connection("live", "live");
  source.onerror = () => {
    connection("waiting", "reconnecting");
    if (source.readyState !== EventSource.CLOSED || state.source !== source) return;
    state.source = null;
    look(LOOK_SOON);
    tellWhy(source.url);
  };
  on("hello", ({ resumed }) => { if (!resumed) { log.clear(); state.lost = 0; counts(); $("events").replaceChildren(); } });
  on("table", showTable);
  on("portion", showPortion);
  on("gap", ({ lines }) => lose(lines, "while this page was not connected, or too slow"));
  on("over", () => {
    source.close();
    if (state.source === source) state.source = null;
    state.over = state.run;
    connection("over", "ended");
  });
}

// An EventSource does not say why it was refused.
async function tellWhy(url) {
  const enough = new AbortController();
  const response = await fetch(url, { signal: enough.signal }).catch(() => null);
  if (response && !response.ok) connection("waiting", await problemOf(response));
  enough.abort();
}

// Browsers allow six connections to a host, and a stream takes one. So the tabs that were looked at last have one, and
// the others rest until they are looked at again.

const MOST_STREAMS = 4, ME = String(Math.random());
const tabsOfThisHost = new BroadcastChannel("aelastic"), lookedAtSince = new Set();

tabsOfThisHost.onmessage = ({ data }) => {
  if (!document.hidden) return;
  lookedAtSince.add(data);
  if (lookedAtSince.size < MOST_STREAMS || !state.source) return;
  state.resting = true;
  connect();
  connection("waiting", "resting");
};

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  lookedAtSince.clear();
  tabsOfThisHost.postMessage(ME);
  if (!state.resting) return;
  state.resting = false;
  connect();
});

function connection(what, text) {
  const place = $("connection");
  place.dataset.state = what;
  if (place.textContent !== text) place.textContent = text;
}

function showPortion({ lines, dropped, missed, events }) {
  if (lines.length) log.add(lines.map(([rank, stream, time, text]) => ({ rank, stream, time, text })));
  const left = Object.values(dropped).reduce((sum, number) => sum + number, 0);
  if (left + missed) lose(left + missed, "");
  if (events.length) showEvents(events);
  if (lines.length) counts();
}

function lose(lines, why) {
  state.lost += lines;
  if (why) log.add([{ note: true, stream: 0, time: Date.now() / 1000, text: `${count(lines)} lines are not shown: ${why}` }]);
  counts();
}

function counts() {
  const text = `${count(log.lines.length)} lines here`;
  const lost = state.lost ? element("span", { className: "lost", textContent: `; ${count(state.lost)} came too fast to be shown: choose fewer ranks, or see the log file` }) : "";
  $("counts").replaceChildren(log.paused ? `paused; ${text}` : text, lost);
}

// The table

const LOOKS = { running: "running", stopping: "stopping", waiting: "waiting", pending: "pending" };

function lookOf(rank) {
  if (rank.state === "abandoned" || (rank.exitcode && rank.state !== "waiting")) return "failed";
  return LOOKS[rank.state] ?? "done";
}

function wordOf(rank) {
  if (rank.exitcode && rank.state === "exited") return ending(rank.exitcode);
  if (rank.state === "exited") return "done";
  if (rank.state === "waiting" && rank.exitcode) return `${ending(rank.exitcode)}, waiting`;
  return rank.state === "running" && !rank.ready ? "starting" : rank.state;
}

function showTable({ now, run }) {
  state.table = run;
  state.skew = now - Date.now() / 1000;
  $("title").textContent = run.title;
  document.title = `${run.title}: ${run.state}`;
  const running = run.ranks.filter((rank) => rank.state === "running").length;
  $("summary").textContent = [
    `${run.state}`, `${running} of ${run.ranks.length} ranks run`, run.restarts ? `${run.restarts} restart${run.restarts === 1 ? "" : "s"}` : "",
    run.gave_up ? `gave up: ${run.gave_up}` : "",
  ].filter(Boolean).join(" · ");
  $("nothing").hidden = run.ranks.length > 0;
  const acts = state.actions && run.actions.length > 0;
  $("run-actions").hidden = !acts;
  document.querySelector("th.acts").hidden = !acts;
  const there = new Set(run.ranks.map((rank) => rank.rank));
  for (const [number, row] of state.rows) if (!there.has(number)) { row.line.remove(); state.rows.delete(number); }
  for (const rank of run.ranks) update(state.rows.get(rank.rank) ?? makeRow(rank.rank), rank, acts, run);
  if (state.failed !== markOf(run)) showFailures(run);
}

function makeRow(number) {
  const line = element("tr"), cells = {};
  line.dataset.rank = String(number);
  const box = element("input", { type: "checkbox", ariaLabel: `Rank ${number} in the log` });
  box.addEventListener("change", () => {
    if (box.checked) state.chosen.add(number); else state.chosen.delete(number);
    showChosen();
    connect();
  });
  line.append(element("td", {}, box));
  for (const name of ["rank", "is", "pid", "up", "restarts", "cpu", "memory", "how", "last", "acts"]) {
    const cell = cells[name] = element(name === "rank" ? "th" : "td", { className: name });
    if (["rank", "pid", "up", "restarts", "cpu", "memory"].includes(name)) cell.classList.add("number");
    line.append(cell);
  }
  cells.rank.scope = "row";
  cells.rank.textContent = String(number);
  const word = element("span", { className: "state" });
  cells.is.append(word);
  cells.how.append(element("progress", { hidden: true }), element("span"));
  const row = { line, cells, box, word, rank: null };
  $("rows").append(line);
  state.rows.set(number, row);
  return row;
}

function put(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

function update(row, rank, acts, run) {
  const { cells } = row;
  row.rank = rank;
  row.line.dataset.look = lookOf(rank);
  put(row.word, wordOf(rank));
  put(cells.pid, rank.pid === null ? "" : String(rank.pid));
  put(cells.restarts, String(rank.restarts));
  put(cells.cpu, rank.cpu === null ? "" : `${Math.round(rank.cpu)}%`);
  put(cells.memory, rank.memory === null ? "" : size(rank.memory));
  const [bar, words] = cells.how.children, { progress } = rank;
  bar.hidden = !(progress && progress.total > 0);
  if (!bar.hidden) { bar.max = progress.total; bar.value = progress.done; }
  const done = progress ? `${progress.done}${progress.total === null ? "" : `/${progress.total}`} ` : "";
  bar.ariaLabel = `progress ${done}`;
  put(words, done + clean(rank.status));
  put(cells.last, clean(rank.last_line));
  cells.acts.hidden = !acts;
  if (acts && cells.acts.dataset.actions !== run.actions.join()) giveActions(row, run.actions);
  showUptime(row);
}

function showUptime({ rank, cells }) {
  const until = rank?.ended_at ?? Date.now() / 1000 + state.skew;
  put(cells.up, rank?.started_at ? duration(until - rank.started_at) : "");
}

function showChosen() {
  const chosen = [...state.chosen].sort((a, b) => a - b);
  $("chosen").textContent = chosen.length ? `rank ${chosen.join(", ")}` : "all ranks";
  $("all").hidden = chosen.length === 0;
  $("file").hidden = chosen.length !== 1;
  for (const [number, row] of state.rows) row.box.checked = state.chosen.has(number);
}

// Failures and events

// Old failures are forgotten for new ones, so their number alone does not tell.
const markOf = (run) => `${run.name} ${run.failures} ${run.failed_at}`;

async function showFailures(run) {
  const mark = markOf(run), news = state.failed !== null;
  state.failed = mark;
  $("failure-count").hidden = run.failures === 0;
  $("failure-count").textContent = String(run.failures);
  let failures = [];
  try {
    if (run.failures) ({ failures } = await get(address(run.name, "failures")));
  } catch {
    if (state.failed === mark) state.failed = "";  // again with the next table
    return;
  }
  if (state.failed !== mark) return;
  if (news && failures.length) $("news").textContent = `Rank ${failures[0].rank} ${failures[0].reason}`;
  $("failures").replaceChildren(...(failures.length ? failures.map(failureCard) : [element("p", { className: "hint", textContent: "Nothing has failed." })]));
}

function failureCard(failure) {
  const card = element("article", { className: `failure${failure.collateral ? " collateral" : ""}` });
  const attempt = failure.attempt ? ` (attempt ${failure.attempt})` : "";
  card.append(element("h3", { textContent: clean(`Rank ${failure.rank} ${failure.reason}${attempt}`) }));
  card.append(element("p", { textContent: `${clock(failure.failed_at)}, after ${failure.lifetime.toFixed(1)} s, pid ${failure.pid}, exit code ${failure.exitcode}${failure.collateral ? "; it had been told to end" : ""}` }));
  card.append(element("pre", { textContent: clean(failure.message) }));
  if (failure.stderr_tail) card.append(element("pre", { textContent: clean(failure.stderr_tail) }));
  return card;
}

function showEvents(events) {
  const place = $("events");
  for (const event of events) {
    if (event.event === "rank_progress" || event.event === "rank_status") continue;
    place.prepend(element("p", {}, element("time", { textContent: clock(event.time) }), clean(event.text)));
  }
  while (place.children.length > MOST_EVENTS) place.lastElementChild.remove();
}

// Actions

const WORDS = { restart: "Restart", stop_rank: "Stop", start_rank: "Start" };
const SENT = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGSTOP", "SIGCONT", "SIGKILL"];

function giveActions(row, actions) {
  const { cells, rank } = row;
  cells.acts.dataset.actions = actions.join();
  const choice = element("select", { ariaLabel: `Actions on rank ${rank.rank}` });
  choice.append(element("option", { value: "", textContent: "Act…" }));
  for (const name of actions) if (WORDS[name]) choice.append(element("option", { value: name, textContent: WORDS[name] }));
  if (actions.includes("signal")) for (const name of SENT) choice.append(element("option", { value: name, textContent: `Send ${name}` }));
  choice.addEventListener("change", () => {
    const what = choice.value;
    choice.value = "";
    if (WORDS[what]) act(`${WORDS[what]} rank ${rank.rank}`, ["ranks", rank.rank, what.replace("_rank", "")]);
    else if (what) act(`Send ${what} to rank ${rank.rank}`, ["ranks", rank.rank, "signal"], { signal: what });
  });
  cells.acts.replaceChildren(choice);
}

async function act(title, path, body = {}) {
  const url = address(state.run, ...path);  // another run may be shown when this one is confirmed
  if (!await confirmed(`${title}?`)) return;
  if (!state.token && !await askForToken("Actions need the token that the dashboard was given.")) return;
  const outcome = `${title}: ${await post(url, body).catch((error) => error.message)}`;
  $("news").textContent = outcome;
  log.add([{ note: true, stream: 0, time: Date.now() / 1000, text: outcome }]);
}

async function post(url, body) {
  let response;
  do {
    const headers = { Authorization: `Bearer ${state.token}`, "Content-Type": "application/json" };
    response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  } while (response.status === 401 && await askForToken("That was not the token."));
  return response.ok ? "done" : problemOf(response);
}

function closed(dialog) {
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

async function confirmed(title) {
  $("confirm-title").textContent = title;
  $("confirm").returnValue = "";
  $("confirm").showModal();
  return await closed($("confirm")) === "yes";
}

async function askForToken(why) {
  state.token = "";
  $("ask-why").textContent = why;
  $("token").value = "";
  $("ask").showModal();
  await closed($("ask"));
  state.token = $("token").value;
  $("token").value = "";
  return state.token !== "";
}

$("ask-cancel").addEventListener("click", () => { $("token").value = ""; $("ask").close(); });
$("ask").addEventListener("cancel", () => { $("token").value = ""; });
$("stop").addEventListener("click", () => act(`Stop all of ${state.table.title}`, ["stop"]));

// The log file

const reader = { run: "", rank: 0, page: null };

async function read(query) {
  const url = `${address(reader.run, "ranks", reader.rank, "logs", $("reader-stream").value)}?limit=131072${query}`;
  try {
    reader.page = await get(url);
    $("reader-text").textContent = clean(reader.page.text);
    $("reader-where").textContent = `bytes ${count(reader.page.start)} to ${count(reader.page.end)} of ${count(reader.page.size)}`;
  } catch (error) {
    reader.page = null;
    $("reader-text").textContent = "";
    $("reader-where").textContent = error.message;
  }
  $("older").disabled = !reader.page?.start;
  $("newer").disabled = !reader.page;
}

async function readEnd() {
  await read("");
  $("reader-text").scrollTop = $("reader-text").scrollHeight;
}

$("file").addEventListener("click", async () => {
  [reader.run, [reader.rank]] = [state.run, state.chosen];
  $("reader-title").textContent = `Log of rank ${reader.rank}`;
  $("reader").showModal();
  await readEnd();
});
$("reader-stream").addEventListener("change", readEnd);
$("older").addEventListener("click", () => read(`&before=${reader.page.start}`));
$("newer").addEventListener("click", () => reader.page.end < reader.page.size ? read(`&after=${reader.page.end}`) : readEnd());
$("reader-close").addEventListener("click", () => $("reader").close());

// Tools

$("search").addEventListener("input", () => log.look($("search").value, Number($("which").value)));
$("which").addEventListener("change", () => log.look($("search").value, Number($("which").value)));
$("clear").addEventListener("click", () => { log.clear(); state.lost = 0; counts(); });
$("all").addEventListener("click", () => { state.chosen.clear(); showChosen(); connect(); });
$("pause").addEventListener("click", () => {
  log.pause(!log.paused);
  $("pause").setAttribute("aria-pressed", String(log.paused));
  $("pause").textContent = log.paused ? "Go on" : "Pause";
  counts();
});

const tabs = [...document.querySelectorAll('[role="tab"]')];
function open(tab) {
  for (const one of tabs) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", String(chosen));
    one.tabIndex = chosen ? 0 : -1;
    $(one.getAttribute("aria-controls")).hidden = !chosen;
  }
  $("log-tools").hidden = tab.id !== "tab-logs";
}
for (const [index, tab] of tabs.entries()) {
  tab.addEventListener("click", () => open(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    open(next);
    next.focus();
  });
}

setInterval(() => { for (const row of state.rows.values()) showUptime(row); }, 1000);
tabsOfThisHost.postMessage(ME);
lookForRuns();
