// Starts the page and shows the section that the address names.

import * as check from "./check.js";
import * as decisions from "./decisions.js";
import { byId } from "./draw.js";

const SECTIONS = ["try", "decisions"];

function showSection() {
  const named = location.hash.slice(1);
  // The skip link names the content, which is no section of its own.
  if (named && !SECTIONS.includes(named)) return;
  const shown = named || SECTIONS[0];
  for (const name of SECTIONS) byId(name).hidden = name !== shown;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${shown}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

addEventListener("hashchange", showSection);
if (!SECTIONS.includes(location.hash.slice(1))) history.replaceState(null, "", "#try");
showSection();
check.start();
decisions.start();
