// Charts of the last day: for each guideline, what was rejected in each hour.

import { byId, el, svg, words } from "./draw.js";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export function drawDay(summary, guidelines) {
  const { approve, reject } = summary.verdicts;
  const series = guidelines.map((name) => [words(name), summary.hours.map((hour) => hour.guidelines[name] ?? 0)]);
  const top = Math.max(1, ...series.flatMap(([, counts]) => counts));
  const hours = summary.hours.map((hour) => clock.format(new Date(hour.hour)));
  byId("day").replaceChildren(
    el("figcaption", {},
      el("h3", { id: "day-title" }, "Rejected in the last day, by guideline"),
      el("p", { class: "hint" }, `${approve + reject} decisions, ${reject} rejected, ${summary.overruled} overruled; ` +
        `bars are hours, all charts up to ${top}`)),
    el("div", { class: "charts" }, ...series.map(([name, counts]) => chart(name, counts, hours, top))));
}

function chart(name, counts, hours, top) {
  const total = counts.reduce((a, b) => a + b, 0);
  const most = counts.indexOf(Math.max(...counts));
  const told = total ? `${name}: ${total} rejected, most (${counts[most]}) from ${hours[most]}` : `${name}: none rejected`;
  const step = 100 / counts.length;
  return el("div", { class: "chart" },
    el("p", {}, el("span", {}, name), el("strong", {}, total)),
    svg("svg", { role: "img", "aria-label": told, viewBox: "0 0 100 40", preserveAspectRatio: "none" },
      svg("line", { class: "track", x1: 0, x2: 100, y1: 39.5, y2: 39.5 }),
      ...counts.map((count, i) => svg("rect", {
        class: "bar", x: i * step + step * 0.1, width: step * 0.8, y: 40 - (38 * count) / top, height: (38 * count) / top,
      }, svg("title", {}, `${hours[i]}: ${count}`)))),
    el("p", { class: "ends", "aria-hidden": "true" }, el("span", {}, "a day ago"), el("span", {}, "now")));
}
