// Makes elements. Text becomes text nodes and nothing else, so that a comment's markup is shown and never run.

const SVG = "http://www.w3.org/2000/svg";
const STRONGEST = ["reject", "refer", "score"];
const EFFECTS = { reject: "rejects", refer: "lowers the bar", score: "carried the score" };
// Control, format and other characters that are drawn as nothing; line breaks and tabs are not among them.
const UNSEEN = /^(?:[\p{Cf}\u00ad\u034f\u115f\u1160\u2800\u3164\uffa0\ufe00-\ufe0f]|(?![\n\r\t])\p{Cc})$/u;

export const byId = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function badge(verdict) {
  return el("span", { class: `verdict ${verdict}` }, verdict === "approve" ? "✓ approve" : "✕ reject");
}

// A piece of a comment, its unseen characters named.
export function piece(characters) {
  const parts = [];
  let run = "";
  for (const character of characters) {
    if (!UNSEEN.test(character)) {
      run += character;
      continue;
    }
    const code = "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    parts.push(run, el("span", { class: "unseen" }, code));
    run = "";
  }
  return [...parts, run].filter((part) => part !== "");
}

// Marks spans {start, end, kind} of a text, in code points and half-open; the strongest kind shows where some overlap.
export function marked(text, spans, order = STRONGEST) {
  const characters = Array.from(text);
  const edges = new Set([0, characters.length]);
  for (const span of spans) edges.add(span.start).add(span.end);
  const places = [...edges].filter((place) => place <= characters.length).sort((a, b) => a - b);
  const box = el("p", { class: "text box", dir: "auto" });
  const kinds = places.slice(0, -1).map((start, i) => {
    const here = spans.filter((span) => span.start <= start && places[i + 1] <= span.end).map((span) => span.kind);
    return order.find((name) => here.includes(name));
  });
  for (let i = 0, next; i < kinds.length; i = next) {
    for (next = i + 1; next < kinds.length && kinds[next] === kinds[i];) next++;
    const content = piece(characters.slice(places[i], places[next]));
    box.append(...(kinds[i] ? [el("mark", { class: kinds[i] }, ...content)] : content));
  }
  return box;
}

export function evidence(text, findings) {
  return marked(text, findings.map(({ start, end, effect }) => ({ start, end, kind: effect })));
}

export function findingList(findings) {
  return el("ul", { class: "findings" }, ...findings.map((finding) =>
    el("li", {},
      el("mark", { class: finding.effect }, el("bdi", {}, ...piece(finding.excerpt))),
      el("span", {}, `${words(finding.guideline)}: ${EFFECTS[finding.effect]}`),
      el("span", { class: "hint" }, finding.rule))));
}

// Scores as bars, with the threshold that was applied.
export function scoreTable(decision) {
  const rows = [["any guideline", decision.score], ...Object.entries(decision.scores)];
  const over = (score) => score >= decision.threshold;
  return el("table", { class: "scores" },
    el("caption", { class: "hint" }, `Scores, 0 to 1; the line is the threshold ${decision.threshold}`),
    el("tbody", {}, ...rows.map(([name, score]) =>
      el("tr", { class: over(score) ? "over" : null },
        el("th", { scope: "row" }, words(name)),
        el("td", {}, svg("svg", { "aria-hidden": "true" },
          svg("rect", { class: "track", x: 0, y: "20%", width: "100%", height: "60%" }),
          svg("rect", { class: "bar", x: 0, y: "20%", width: `${100 * score}%`, height: "60%" }),
          upright("halo", decision.threshold), upright("threshold", decision.threshold))),
        el("td", { class: "number" }, score.toFixed(3))))));
}

function upright(name, place) {
  const x = `${100 * place}%`;
  return svg("line", { class: name, x1: x, x2: x, y1: 0, y2: "100%" });
}

export function how(decision) {
  if (decision.decided_by === "rule") return "decided by rule";
  const sign = decision.verdict === "reject" ? "≥" : "<";
  return `score ${decision.score.toFixed(3)} ${sign} threshold ${decision.threshold}, ${decision.decided_by} stage`;
}

export function words(name) {
  return name.replaceAll("_", " ");
}
