// Light or dark: as the system says until somebody chooses, and then as chosen. Loaded before the page is painted.
"use strict";
(function () {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try { return localStorage.getItem("theme"); } catch { return null; }
  }
  function current() {
    return root.dataset.theme || (system.matches ? "dark" : "light");
  }
  function label(button) {
    const next = current() === "dark" ? "light" : "dark";
    button.textContent = next === "dark" ? "Dark" : "Light";
    button.setAttribute("aria-label", "Switch to " + next + " colours");
    button.hidden = false;
  }
  function tell() {
    document.dispatchEvent(new CustomEvent("velocity:theme"));
  }

  const before = chosen();
  if (before === "dark" || before === "light") root.dataset.theme = before;

  document.addEventListener("DOMContentLoaded", function () {
    const buttons = document.querySelectorAll("[data-theme-toggle]");
    buttons.forEach(label);
    buttons.forEach(function (button) {
      button.addEventListener("click", function () {
        root.dataset.theme = current() === "dark" ? "light" : "dark";
        try { localStorage.setItem("theme", root.dataset.theme); } catch { /* remembered until the page is left */ }
        buttons.forEach(label);
        tell();
      });
    });
    system.addEventListener("change", function () { buttons.forEach(label); tell(); });
  });
})();
