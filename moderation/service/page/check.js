// The box to try a comment.

import { badge, byId, el, evidence, findingList, how, marked, scoreTable, words } from "./draw.js";
import { ask } from "./server.js";

const EXAMPLES = [
  "You are a f*cking id\u200biot, and everyone here knows it.",
  "The minister's plan is short-sighted: who pays for the second bridge?",
  "Go back to where you came from",
  "Y0u @re p@th3tic",
  "<b>Cheap watches</b> at https://example.com/watches, use my code SAVE20!",
  "My neighbour was called an idiot for planting trees. He was right.",
];
let next = 0;
let asked = 0;

export function start() {
  byId("text").value = EXAMPLES[0];
  byId("example").addEventListener("click", () => {
    next = (next + 1) % EXAMPLES.length;
    byId("text").value = EXAMPLES[next];
    check();
  });
  byId("check").addEventListener("submit", (event) => {
    event.preventDefault();
    check();
  });
  byId("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("check").requestSubmit();
  });
}

async function check() {
  const text = byId("text").value;
  const mine = ++asked;
  byId("check-status").classList.remove("problem");
  try {
    const explained = await ask("v1/explain", { text });
    if (mine !== asked) return;
    show(text, explained);
  } catch (problem) {
    if (mine !== asked) return;
    byId("result").hidden = true;
    byId("check-status").classList.add("problem");
    byId("check-status").textContent =
      problem.status === 401 ? "This service asks for a key: sign in under Decisions." : problem.message;
  }
}

function show(text, { decision, views, exchanged }) {
  const guidelines = decision.guidelines.map(words).join(", ");
  byId("check-status").textContent = `Verdict: ${decision.verdict}${guidelines ? `, ${guidelines}` : ""}`;
  const result = el("div", { id: "result", class: "card" },
    el("div", {},
      el("p", { class: "summary" }, badge(decision.verdict), el("strong", {}, guidelines || "no guideline broken"),
        el("span", { class: "hint" }, how(decision))),
      decision.reason ? el("p", {}, decision.reason) : null),
    el("div", {}, el("h3", {}, "Evidence"), evidence(text, decision.findings),
      decision.findings.length ? findingList(decision.findings) : el("p", { class: "hint" }, "No finding.")),
    el("div", {}, scoreTable(decision)),
    el("div", {}, el("h3", {}, "What was read"), ...views.map(view), other(exchanged)),
    el("p", { class: "hint" }, `${decision.policy}, ${decision.model}`));
  byId("result").replaceWith(result);
}

const VIEWS = {
  folded: "Folded: lower case, without accents, invisible characters and markup",
  skeleton: "Skeleton: disguise undone",
};

function view({ name, text, changed, dropped }) {
  const box = marked(text, changed.map(([start, end]) => ({ start, end, kind: "read" })), ["read"]);
  box.classList.add("code");
  const less = dropped ? `; ${dropped} character${dropped === 1 ? "" : "s"} left out` : "";
  return el("div", {}, el("p", { class: "hint" }, VIEWS[name] + less), box);
}

function other(text) {
  if (text === null) return null;
  const what = "With another group named: where scores decide, the mean of both readings counts";
  const box = marked(text, []);
  box.classList.add("code");
  return el("div", {}, el("p", { class: "hint" }, what), box);
}
