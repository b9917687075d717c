"use strict";
(() => {
  const form = document.getElementById("filters");
  const list = document.getElementById("entries");
  if (!form || !list) return;
  const plain = (text) => text.normalize("NFKC").toLowerCase();
  const entries = [...list.children].map((element) => ({
    element,
    text: plain(element.querySelector(".comment").textContent + "\n" + element.querySelector("summary").textContent),
  }));
  const controls = [...form.elements].filter((control) => control.name);
  const shown = document.getElementById("shown");

  function apply() {
    const wanted = controls.filter((control) => control.value.trim());
    let count = 0;
    for (const { element, text } of entries) {
      const fits = wanted.every((control) =>
        control.name === "search"
          ? text.includes(plain(control.value.trim()))
          : (element.dataset[control.name] || "").split("\n").includes(control.value),
      );
      element.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${entries.length} shown`;
  }

  // A filtered view has an address: #verdict=reject&search=word.
  function address() {
    const wanted = new URLSearchParams();
    for (const control of controls) if (control.value.trim()) wanted.set(control.name, control.value.trim());
    history.replaceState(null, "", `#${wanted}`);
  }

  function fromAddress() {
    const hash = location.hash.slice(1);
    if (!hash.includes("=")) return;
    const wanted = new URLSearchParams(hash);
    for (const control of controls) control.value = wanted.get(control.name) || "";
    apply();
    const heading = document.getElementById("decisions");
    heading.scrollIntoView();
    heading.focus({ preventScroll: true });
  }

  form.addEventListener("input", () => (apply(), address()));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => (apply(), address())));
  window.addEventListener("hashchange", fromAddress);
  form.hidden = false;
  apply();
  fromAddress();
})();
