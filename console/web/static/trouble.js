// Says so when a part of the page could not be loaded: what is seen is then older than it looks.
"use strict";
(function () {
  function say(text) {
    const place = document.querySelector("[data-trouble]");
    if (!place) return;
    place.textContent = text;
    place.hidden = !text;
  }

  document.addEventListener("htmx:sendError", function () {
    say("The console does not answer. What you see is as it was; try again in a moment.");
  });
  document.addEventListener("htmx:responseError", function (event) {
    say("The console answered " + event.detail.xhr.status + ". What you see is as it was; load the page again to see why.");
  });
  document.addEventListener("htmx:afterOnLoad", function (event) {
    if (event.detail.successful) say("");
  });
})();
