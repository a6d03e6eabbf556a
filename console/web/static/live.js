// Live parts of a page: <section data-live="/path"> holds <div data-live-part="name">, which the events of that name fill.
"use strict";
(function () {
  const AGAIN_MS = 2000; // where a server answers, but not with a stream: a proxy while the console restarts

  function say(section, text, state) {
    section.querySelectorAll("[data-live-status]").forEach(function (place) {
      if (place.textContent !== text) place.textContent = text;
      place.dataset.state = state;
    });
  }

  function fill(section, name, html) {
    section.querySelectorAll("[data-live-part]").forEach(function (part) {
      if (part.dataset.livePart !== name) return;
      const held = part.contains(document.activeElement) ? document.activeElement.id : "";
      part.innerHTML = html; // the server escapes what it sends; the page's policy runs no script of it
      if (window.htmx) window.htmx.process(part);
      document.dispatchEvent(new CustomEvent("velocity:filled", { detail: part }));
      const again = held && document.getElementById(held);
      if (again) again.focus({ preventScroll: true });
    });
  }

  // One stream for each section. A page that is out of sight gives its connection back: browsers have six for a server.
  function keep(section) {
    let source = null;

    function open() {
      source = new EventSource(section.dataset.live);
      const names = new Set();
      section.querySelectorAll("[data-live-part]").forEach(function (part) { names.add(part.dataset.livePart); });
      names.forEach(function (name) {
        source.addEventListener(name, function (event) { fill(section, name, event.data); });
      });
      source.addEventListener("open", function () { say(section, "live", "live"); });
      source.addEventListener("error", trouble);
    }
    function close() {
      if (source) source.close();
      source = null;
    }
    function trouble() {
      say(section, "reconnecting…", "away");
      if (source && source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      close();
      window.setTimeout(comeBack, AGAIN_MS);
    }
    async function comeBack() {
      try {
        const answer = await fetch("/who", { headers: { Accept: "application/json" }, redirect: "manual" });
        if (answer.status === 401) { window.location.reload(); return; } // the session has ended: to the login page
      } catch { /* not back yet */ }
      if (!source && !document.hidden) open();
    }

    document.addEventListener("visibilitychange", function () {
      if (document.hidden) { close(); say(section, "paused", "away"); } else if (!source) open();
    });
    window.addEventListener("pagehide", close);
    window.addEventListener("pageshow", function (event) { if (event.persisted && !source) open(); });
    if (!document.hidden) open();
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("[data-live]").forEach(keep);
  });
})();
