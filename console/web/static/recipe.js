// Buttons that add a step to a recipe: <button data-insert="TEXT" data-into="ID of the text field">.
"use strict";
(function () {
  function insert(button) {
    const field = document.getElementById(button.dataset.into);
    const before = field.value.replace(/\s+$/, "");
    field.value = (before ? before + "\n\n" : "") + button.dataset.insert;
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("[data-inserts]").forEach(function (row) { row.hidden = false; });
    document.querySelectorAll("[data-insert]").forEach(function (button) {
      button.addEventListener("click", function () { insert(button); });
    });
  });
})();
