// What a moderator sees: recent decisions, their evidence, and the overrule.

import { drawDay } from "./day.js";
import { badge, byId, el, evidence, findingList, how, piece, scoreTable, words } from "./draw.js";
import { ask, signIn, signOut, whoami } from "./server.js";

const PAGE = 50;
const when = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
let session = null;
let entries = [];
let current = -1;
let asked = 0;
let nextPage = null;

export async function start() {
  byId("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = byId("key").value;
    byId("key").value = "";
    attempt(async () => welcome(await signIn(key)));
  });
  byId("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(load);
  });
  byId("filters").addEventListener("change", () => attempt(load));
  byId("older").addEventListener("click", () => attempt(() => load(nextPage)));
  byId("show-help").addEventListener("click", () => byId("help").showModal());
  byId("overrule").addEventListener("close", recordOverrule);
  byId("rows").addEventListener("focusin", (event) => {
    const row = event.target.closest(".row");
    if (row) current = Number(row.dataset.index);
  });
  keysSetting();
  document.addEventListener("keydown", pressed);
  await attempt(async () => welcome(await whoami()));
}

async function attempt(action) {
  const status = byId("decisions-status");
  try {
    status.textContent = "";
    status.classList.remove("problem");
    await action();
  } catch (problem) {
    status.textContent = problem.message;
    status.classList.add("problem");
    if (problem.status === 401) welcome(null);
  }
}

// Shows what belongs to who is signed in.
async function welcome(found) {
  session = found;
  byId("sign-in").hidden = session !== null;
  byId("desk").hidden = session === null;
  byId("who").replaceChildren(...(session === null ? [] : [session.name]));
  if (session === null) {
    byId("rows").replaceChildren();
    byId("day").replaceChildren();
    entries = [];
    return;
  }
  if (session.token) {
    byId("who").append(el("button", { type: "button", click: () => attempt(async () => welcome(await signOut())) }, "Sign out"));
  }
  await load();
}

const may = (scope) => session.scopes.includes(scope) || session.scopes.includes("admin");

async function load(before) {
  const query = new URLSearchParams({ limit: PAGE });
  for (const [name, value] of new FormData(byId("filters"))) if (value) query.set(name, value);
  if (before) query.set("before", before);
  const mine = ++asked;
  const [found, summary] = await Promise.all([ask(`v1/audit?${query}`), before ? null : ask("v1/audit/summary")]);
  if (mine !== asked) return;
  if (summary) showDay(summary);
  const first = before ? entries.length : 0;
  if (!before) {
    entries = [];
    current = -1;
    byId("rows").replaceChildren();
  }
  entries.push(...found.entries);
  byId("rows").append(...found.entries.map((entry, i) => row(entry, first + i)));
  nextPage = found.next;
  byId("older").hidden = nextPage === null;
  byId("decisions-status").textContent = entries.length ? "" : "No decision matches.";
  if (before) go(first);
}

function showDay(summary) {
  drawDay(summary, [...byId("filter-guideline").options].map((option) => option.value).filter(Boolean));
  const doors = byId("filter-door");
  const known = new Set([...doors.options].map((option) => option.value));
  for (const name of Object.keys(summary.doors)) if (!known.has(name)) doors.append(el("option", { value: name }, name));
}

function row(entry, index) {
  const { decision } = entry;
  const stands = standing(entry);
  const text = shownText(entry);
  return el("li", { class: "row card", tabindex: index === Math.max(current, 0) ? 0 : -1, "data-index": index, click: opened },
    el("p", { class: "summary" }, badge(decision.verdict), el("span", {}, decision.guidelines.map(words).join(", ")),
      stands !== decision.verdict ? el("span", { class: "overruled" }, `overruled: ${stands}`) : null,
      el("time", { datetime: entry.time }, when.format(new Date(entry.time))),
      el("span", { class: "from" }, `${entry.door}, ${how(decision)}`),
      el("button", { type: "button", class: "plain", "aria-expanded": "false", click: () => toggle(index) }, "Details")),
    el("p", { class: "text preview", dir: "auto" }, ...piece(text || "The text is not kept.")),
  );
}

function shownText(entry) {
  return entry.text ?? entry.decision.findings.map((finding) => finding.excerpt).join(" … ");
}

function opened(event) {
  if (event.target.closest("button, .details") || getSelection().toString()) return;
  toggle(Number(event.currentTarget.dataset.index));
}

function toggle(index) {
  const item = byId("rows").children[index];
  item.querySelector(".details")?.remove();
  const open = item.toggleAttribute("data-open");
  if (open) item.append(details(entries[index], index));
  item.querySelector("[aria-expanded]").setAttribute("aria-expanded", open);
}

function details(entry, index) {
  const { decision } = entry;
  const other = opposite(entry);
  return el("div", { class: "details" },
    entry.text === null
      ? el("p", { class: "hint" }, "The text is not kept; the service keeps texts when told to (keep_text).")
      : evidence(entry.text, decision.findings),
    decision.findings.length ? findingList(decision.findings) : null,
    decision.reason ? el("p", {}, decision.reason) : null,
    scoreTable(decision),
    ...entry.feedback.map((said) => el("p", {},
      `${said.verdict}: ${said.caller}, ${when.format(new Date(said.time))}${said.note ? `: ${said.note}` : ""}`)),
    el("p", { class: "hint" }, `${entry.id}, site ${entry.site}, ${decision.policy}, ${decision.model}`),
    may("moderate")
      ? el("p", { class: "buttons" }, el("button", { type: "button", click: () => askOverrule(index) }, `Overrule: ${other}`))
      : null);
}

// The verdict that is in force is the last one that anybody gave.
function standing(entry) {
  return entry.feedback.at(-1)?.verdict ?? entry.decision.verdict;
}

function opposite(entry) {
  return standing(entry) === "approve" ? "reject" : "approve";
}

function go(index) {
  if (!entries.length) return;
  current = Math.max(0, Math.min(index, entries.length - 1));
  [...byId("rows").children].forEach((item, i) => item.setAttribute("tabindex", i === current ? 0 : -1));
  byId("rows").children[current].focus();
}

// --------------------------------------------------------------------------- overrule

function askOverrule(index) {
  if (!may("moderate")) {
    byId("decisions-status").textContent = "This key may not overrule: it lacks the scope moderate.";
    return;
  }
  const entry = entries[index];
  const verdict = opposite(entry);
  byId("overrule").dataset.index = index;
  byId("overrule").dataset.verdict = verdict;
  byId("overrule").returnValue = "";
  byId("overrule-title").textContent = `Overrule: ${verdict}`;
  byId("overrule-yes").textContent = `Record ${verdict}`;
  byId("overrule-text").replaceChildren(...piece(shownText(entry)));
  byId("overrule-problem").textContent = "";
  byId("note").value = "";
  byId("overrule").showModal();
  byId("note").focus();
}

async function recordOverrule() {
  const dialog = byId("overrule");
  const index = Number(dialog.dataset.index);
  if (dialog.returnValue === "yes") {
    const entry = entries[index];
    const { verdict } = dialog.dataset;
    await attempt(async () => {
      const said = { verdict, note: byId("note").value, site: entry.site, seq: entry.seq };
      entry.feedback.push(await ask(`v1/decisions/${encodeURIComponent(entry.id)}/feedback`, said));
      const item = byId("rows").children[index];
      const open = item.hasAttribute("data-open");
      item.replaceWith(row(entry, index));
      if (open) toggle(index);
      byId("decisions-status").textContent = `Recorded: ${verdict}.`;
    });
  }
  go(index);
}

// --------------------------------------------------------------------------- keys

const KEYS = {
  j: () => go(current + 1),
  k: () => go(current - 1),
  o: () => current >= 0 && askOverrule(current),
  r: () => attempt(load),
  "/": () => byId("filter-search").focus(),
  "?": () => byId("help").showModal(),
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || session === null || byId("decisions").hidden) return;
  if (document.querySelector("dialog[open]") || event.target.closest("input, select, textarea")) return;
  if (event.key === "Enter" && event.target.classList.contains("row")) {
    event.preventDefault();
    toggle(current);
  } else if (byId("keys-on").checked && Object.hasOwn(KEYS, event.key)) {
    event.preventDefault();
    KEYS[event.key]();
  }
}

// Single keys get in the way of speech input: they can be turned off, for good.
function keysSetting() {
  byId("keys-on").checked = localStorage.getItem("keys") !== "off";
  byId("keys-on").addEventListener("change", () => localStorage.setItem("keys", byId("keys-on").checked ? "on" : "off"));
}
