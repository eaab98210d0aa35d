// File import works without this: it adds dropping, the upload's progress, filters while typing, and Ctrl+Enter.
(() => {
  "use strict";
  // The words are the page's: `{name}` in them stands for a value.
  const worded = (words, values) => words.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const megabytes = (bytes) => {
    const [size, unit] = bytes < 104858 ? [bytes / 1024, "KB"] : [bytes / 1048576, "MB"];
    return `${size.toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 })} ${unit}`;
  };

  // -- the file
  const say = (form, words, wrong) => {
    const place = form.querySelector("[data-upload-said]");
    if (!place) return;
    place.textContent = words;
    place.classList.toggle("sv-wrong", Boolean(wrong));
  };
  const fits = (form, file) => !file || file.size <= Number(form.dataset.maxBytes);
  const look = (input) => {
    const form = input.closest("[data-upload]");
    const file = input.files[0];
    if (!file) return say(form, "");
    const limit = megabytes(Number(form.dataset.maxBytes));
    if (fits(form, file)) say(form, `${file.name} – ${megabytes(file.size)}`);
    else say(form, worded(form.dataset.sayTooLarge, { name: file.name, size: megabytes(file.size), limit }), true);
  };
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      const zone = event.target.closest?.("[data-drop]");
      if (!zone) return;
      event.preventDefault();
      zone.classList.toggle("sv-drop-over", kind === "dragover");
      if (kind !== "drop" || !event.dataTransfer.files.length) return;
      const input = zone.querySelector("input[type=file]");
      input.files = event.dataTransfer.files;
      look(input);
    });
  }
  document.addEventListener("htmx:beforeRequest", (event) => {
    const input = event.target.matches("[data-upload]") && event.target.querySelector("input[type=file]");
    if (input && !fits(event.target, input.files[0])) {
      event.preventDefault(); // said already
      input.focus();
    }
  });
  document.addEventListener("htmx:xhr:progress", (event) => {
    const bar = event.target.closest("[data-upload]")?.querySelector("[data-upload-bar]");
    if (!bar || !event.detail.lengthComputable) return;
    bar.hidden = false;
    if (event.detail.loaded < event.detail.total) bar.value = (event.detail.loaded * 100) / event.detail.total;
    else bar.removeAttribute("value"); // all was sent: the server reads it now
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const bar = event.target.matches?.("[data-upload]") && event.target.querySelector("[data-upload-bar]");
    if (bar) bar.hidden = true;
  });
  for (const kind of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(kind, (event) => {
      const form = event.target.closest?.("[data-upload]");
      const bar = form?.querySelector("[data-upload-bar]");
      if (!bar) return;
      bar.hidden = true;
      const status = event.detail.xhr?.status;
      const { sayRefused, sayFailed, sayLost } = form.dataset;
      say(form, status === 413 ? sayRefused : status ? worded(sayFailed, { status }) : sayLost, true);
    });
  }

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
    if (event.target.matches("[data-upload] input[type=file]")) look(event.target);
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
