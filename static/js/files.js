// File import works without this: it adds filters while typing, buttons that say what they do, and Ctrl+Enter.
(() => {
  "use strict";

  // -- filters while typing; they change nothing, so the form must not hear of them
  const shown = (table) => {
    const text = document.querySelector(`[data-filter-rows="${table.id}"]`).value.trim().toLowerCase();
    const only = document.querySelector(`[data-only-unmapped="${table.id}"]`).checked;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !row.dataset.text.includes(text) || (only && row.querySelector("[data-target]").value !== "");
    }
  };
  const options = (input) => {
    const text = input.value.trim().toLowerCase();
    const select = document.getElementById(input.dataset.filterOptions);
    for (const option of select.options) option.hidden = option.value !== "" && !option.text.toLowerCase().includes(text);
    for (const group of select.querySelectorAll("optgroup")) group.hidden = ![...group.children].some((each) => !each.hidden);
  };
  const filter = (event) => {
    const input = event.target.closest?.("[data-filter-rows], [data-only-unmapped], [data-filter-options]");
    if (!input) return;
    event.stopPropagation();
    if (input.dataset.filterOptions) options(input);
    else shown(document.getElementById(input.dataset.filterRows || input.dataset.onlyUnmapped));
  };
  document.addEventListener("input", filter, true);
  document.addEventListener("change", filter, true);
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]") && event.target.value) event.target.form.requestSubmit();
  });

  // -- buttons that take a while say so; Ctrl+Enter is the next step (U6)
  document.addEventListener("submit", (event) => {
    const button = event.submitter?.dataset.busy && event.submitter;
    if (!button || button.dataset.was) return;
    setTimeout(() => {
      button.dataset.was = button.innerHTML;
      button.textContent = button.dataset.busy;
      button.disabled = true;
    });
  });
  addEventListener("pageshow", () => {
    for (const button of document.querySelectorAll("[data-was]")) {
      button.innerHTML = button.dataset.was;
      button.disabled = false;
      delete button.dataset.was;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) document.querySelector("[data-next]:not(:disabled)")?.click();
  });
})();
