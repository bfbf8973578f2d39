"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const cases = [...document.querySelectorAll("details.case")];
  const rows = [...document.querySelectorAll(".matrix tbody tr")];
  const chips = [...document.querySelectorAll(".chip[data-filter]")];
  const find = document.getElementById("find");

  function filter() {
    const wanted = chips.filter((c) => c.getAttribute("aria-pressed") === "true").map((c) => c.dataset.filter);
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of [...cases, ...rows]) {
      const text = item.dataset.text.toLowerCase();
      const right = !wanted.length || wanted.some((name) => item.classList.contains(name));
      item.hidden = !(right && words.every((word) => text.includes(word)));
    }
  }
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }
  find.addEventListener("input", filter);

  const all = document.getElementById("all");
  all.addEventListener("click", () => {
    const open = cases.some((item) => !item.open && !item.hidden);
    for (const item of cases) item.open = open && !item.hidden;
    all.textContent = open ? "close all" : "open all";
  });

  document.getElementById("theme").addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = root.dataset.theme || (dark ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  function reveal() {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (target && target.matches("details.case")) {
      target.hidden = false;
      target.open = true;
      target.scrollIntoView();
    }
  }
  addEventListener("hashchange", reveal);
  reveal();

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "selected";
      }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  }
})();
