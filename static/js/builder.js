// The builder works without this: it adds keys, lists of columns, the details panel, tabs, and keeps the place.
(() => {
  "use strict";
  document.documentElement.dataset.js = "";
  const $ = (selector, root = document) => root.querySelector(selector);
  const isText = (element) => element?.matches?.("input:not([type=checkbox],[type=radio]), textarea, select") || false;

  // -- a swap keeps what was typed meanwhile, what is open, where the focus is and where the page stands --
  let held = null;
  const isDirty = (input) => !input.matches("[data-adds]") && (input.tagName === "SELECT"
    ? [...input.options].some((option) => option.defaultSelected !== option.selected && (option.defaultSelected || option.index))
    : input.value !== input.defaultValue);
  const hold = ({ detail: { requestConfig: { elt: sender, formData: sent } } }) => {
    const focused = document.activeElement;
    const inputs = [...document.querySelectorAll("#b-blocks [id]")].filter((input) => isText(input) && isDirty(input));
    held = {
      id: focused?.id,
      caret: focused?.selectionStart,
      scroll: focused?.scrollTop,
      action: sent?.getAll("action").at(-1) || "",
      block: focused?.closest?.(".b-block")?.id,
      typed: inputs.filter((input) => input.form !== sender || !sent.getAll(input.name).includes(input.value)).map(({ id, value }) => [id, value]),
      open: [...document.querySelectorAll("#b-blocks details[id]")].map((item) => [item.id, item.open]),
      top: $(".b-middle").scrollTop,
    };
  };
  const restore = () => {
    if (!held) return;
    const { id, caret, scroll, action, typed, open, top } = held;
    for (const [name, value] of typed) if (document.getElementById(name)) document.getElementById(name).value = value;
    // htmx listens to the new inputs when they have settled: what was not sent yet is said again then.
    setTimeout(() => typed.forEach(([name]) => {
      const input = document.getElementById(name);
      if (input && isDirty(input)) input.dispatchEvent(new Event("input", { bubbles: true }));
    }), 80);
    for (const [name, value] of open) if (document.getElementById(name)) document.getElementById(name).open = value;
    $(".b-middle").scrollTop = top;
    const again = id && document.getElementById(id);
    const block = $(`#${held.block || "none"}`);
    const empty = /add|group|condition/.test(action) ? [...(block?.querySelectorAll(".b-condition [data-combo], .b-card [data-combo]") || [])].filter((input) => !input.value) : [];
    if (again && again !== document.activeElement) {
      again.focus({ preventScroll: true });
      if (caret != null && ["text", "textarea"].includes(again.type)) again.setSelectionRange(caret, caret);
      again.scrollTop = scroll;
    } else if (empty.length) empty.at(-1).focus();
    else if (document.activeElement === document.body) block?.querySelector("h2").focus({ preventScroll: true });
    held = null;
  };

  // -- a list of columns or tables below an input, by table and with types --
  const box = Object.assign(document.createElement("div"), { id: "b-combo", hidden: true });
  box.setAttribute("role", "listbox");
  const combo = { input: null, items: [], at: -1 };
  const close = () => {
    box.hidden = true;
    combo.input?.setAttribute("aria-expanded", "false");
    combo.input?.removeAttribute("aria-activedescendant");
  };
  const mark = (at) => {
    combo.items[combo.at]?.removeAttribute("aria-selected");
    combo.at = at;
    const item = combo.items[at];
    item?.setAttribute("aria-selected", "true");
    item?.scrollIntoView({ block: "nearest" });
    if (item) combo.input.setAttribute("aria-activedescendant", item.id);
  };
  const choose = (item) => {
    combo.input.value = item.dataset.value;
    close();
    combo.input.form.requestSubmit();
  };
  const list = (input, all) => {
    const wanted = all ? "" : input.value.trim().toLowerCase();
    const { only, not } = input.dataset;
    const source = $(input.dataset.combo === "names" ? "#b-names" : "#b-columns");
    const fitting = [...source.children].filter(({ value, dataset }) =>
      value.toLowerCase().includes(wanted) && (!only || dataset.group === only) && (!not || dataset.group !== not));
    box.replaceChildren();
    let group = null;
    fitting.slice(0, 400).forEach((option, number) => {
      if (option.dataset.group && option.dataset.group !== group) {
        group = option.dataset.group;
        box.append(Object.assign(document.createElement("div"), { className: "b-combo-group", textContent: group }));
      }
      const item = Object.assign(document.createElement("div"), { id: `b-combo-${number}`, className: "b-combo-item" });
      item.setAttribute("role", "option");
      item.dataset.value = option.value;
      item.append(Object.assign(document.createElement("span"), { textContent: option.dataset.name || option.value }));
      item.append(Object.assign(document.createElement("small"), { textContent: (option.dataset.key !== undefined ? "PK · " : "") + (option.label === option.value ? "" : option.label) }));
      box.append(item);
    });
    combo.items = [...box.querySelectorAll("[role=option]")];
    combo.at = -1;
    box.hidden = combo.items.length === 0;
    input.setAttribute("aria-expanded", String(!box.hidden));
    const place = input.getBoundingClientRect();
    const below = innerHeight - place.bottom > 180 || place.top < innerHeight / 2;
    box.style.left = `${Math.max(4, Math.min(place.left, innerWidth - Math.max(place.width, 260) - 8))}px`;
    box.style.minWidth = `${Math.max(place.width, 260)}px`;
    box.style.maxHeight = `${Math.min(320, (below ? innerHeight - place.bottom : place.top) - 12)}px`;
    box.style.top = below ? `${place.bottom + 2}px` : "auto";
    box.style.bottom = below ? "auto" : `${innerHeight - place.top + 2}px`;
  };
  const opened = (input) => {
    if (combo.input !== input) close();
    combo.input = input;
    input.removeAttribute("list");
    for (const [name, value] of [["role", "combobox"], ["aria-controls", "b-combo"], ["aria-autocomplete", "list"], ["aria-expanded", "false"]]) input.setAttribute(name, value);
  };

  // -- the details of a table, beside its name and never out of sight --
  const panel = $("#b-details");
  let shown = null, timer = 0;
  const hide = (back) => {
    panel.hidden = true;
    if (back) shown?.focus();
    shown = null;
  };
  const place = () => {
    if (!shown || innerWidth < 900) return;
    const item = shown.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = panel;
    panel.style.left = `${item.right + 8 + width < innerWidth ? item.right + 8 : Math.max(8, item.left - width - 8)}px`;
    panel.style.top = `${Math.max(8, Math.min(item.top, innerHeight - height - 8))}px`;
  };
  const show = (link, within) => {
    if (shown === link && !panel.hidden) return;
    if (!within) shown = link;
    htmx.ajax("GET", link.dataset.details, { target: panel, swap: "innerHTML" }).then(() => {
      panel.hidden = false;
      place();
    });
  };
  const soon = (action, ms) => {
    clearTimeout(timer);
    timer = setTimeout(action, ms);
  };

  const select = (tab) => {
    for (const each of document.querySelectorAll(".b-result-tab")) {
      each.setAttribute("aria-selected", String(each === tab));
      each.tabIndex = each === tab ? 0 : -1;
    }
    $("#b-result").dataset.tab = tab.id.replace("b-tab-", "");
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.body.append(box);
    const on = (name, action) => document.body.addEventListener(name, action);
    on("htmx:beforeOnLoad", (event) => { if (event.detail.xhr.responseText.includes('id="b-blocks"')) hold(event); });
    on("htmx:afterRequest", () => {
      const back = held?.id || held?.block;
      restore();
      const dialog = $("#b-question");
      if (dialog?.open && !dialog.matches(":modal")) {
        dialog.removeAttribute("open"); // shown as a plain part of the page for browsers without scripts
        dialog.showModal();
        dialog.addEventListener("close", () => { dialog.remove(); $(`#${CSS.escape(back || "main")}`)?.focus(); });
      }
      const used = new Set($("#b-blocks").dataset.used.split("\n"));
      for (const branch of document.querySelectorAll(".b-branch")) branch.classList.toggle("b-used", used.has(branch.dataset.table));
    });
    on("htmx:sendError", () => { $("#announcements").textContent = $("#b-page").dataset.sayUnsaved; });
    on("focusin", ({ target }) => {
      if (target.matches("[data-combo]")) opened(target);
      else if (!box.contains(target)) close();
      if (target.matches(".b-table")) soon(() => show(target), 300);
      else if (!panel.hidden && !panel.contains(target)) hide();
    });
    on("mouseover", ({ target }) => {
      const link = target.closest(".b-table");
      if (link) soon(() => show(link), 300);
      else if (panel.contains(target)) clearTimeout(timer);
      else if (!panel.hidden && !panel.contains(document.activeElement) && shown !== document.activeElement) soon(() => hide(), 400);
      else if (panel.hidden) clearTimeout(timer);
    });
    on("input", ({ target }) => { if (target.matches("[data-combo]")) list(target); });
    document.addEventListener("input", (event) => {
      if (!event.target.matches("[data-adds]")) return;
      event.stopPropagation(); // it is no change by itself: its button adds it
      event.target.form.querySelector("[value='fields.step']").click();
    }, true);
    on("mousedown", (event) => {
      const item = event.target.closest(".b-combo-item");
      if (item) { event.preventDefault(); choose(item); }
    });
    on("click", (event) => {
      const { target } = event;
      const link = target.closest("[data-details]");
      if (link) { event.preventDefault(); clearTimeout(timer); shown = link.dataset.within === undefined ? null : shown; show(link, link.dataset.within !== undefined); }
      if (target.closest("[data-close]")) { event.preventDefault(); hide(true); }
      if (target.matches("[data-combo]")) list(target, true);
      if (target.closest("[data-cancel]")) { event.preventDefault(); $("#b-question").close(); }
      if (target.closest("[data-help]")) $("#b-help").showModal();
      const tab = target.closest(".b-result-tab");
      if (tab) select(tab);
      const copy = target.closest("[data-copy]");
      if (copy) navigator.clipboard.writeText($(`#${copy.dataset.copy}`).textContent).then(() => { copy.lastChild.textContent = copy.dataset.sayCopied; });
      const anchor = target.closest("a[href^='#b-']");
      const found = anchor && $(anchor.getAttribute("href"));
      if (found) { found.closest("details")?.setAttribute("open", ""); (found.querySelector("input:not([type=hidden]), select") || found).focus(); }
      if (found?.setSelectionRange && anchor.dataset.at) found.setSelectionRange(+anchor.dataset.at, +anchor.dataset.at);
    });
    on("keydown", (event) => {
      const { key, target } = event;
      if (!box.hidden && target === combo.input) {
        const count = combo.items.length;
        if (key === "ArrowDown" || key === "ArrowUp") { event.preventDefault(); mark((combo.at + (key === "ArrowDown" ? 1 : -1) + count) % count); return; }
        if (key === "Enter" && combo.at >= 0) { event.preventDefault(); choose(combo.items[combo.at]); return; }
        if (key === "Escape") { event.preventDefault(); event.stopPropagation(); close(); return; }
      } else if (key === "ArrowDown" && target.matches?.("[data-combo]")) { event.preventDefault(); list(target, true); mark(0); return; }
      if (target.matches?.(".b-result-tab") && (key === "ArrowRight" || key === "ArrowLeft")) {
        const tabs = [...document.querySelectorAll(".b-result-tab")];
        const next = tabs[(tabs.indexOf(target) + (key === "ArrowRight" ? 1 : 2)) % 3];
        select(next);
        next.focus();
      }
      if (key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("#b-save").requestSubmit(); return; }
      if (key === "Escape" && !panel.hidden) hide(true);
      if (isText(target)) return;
      if (key === "z" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $(event.shiftKey ? "#b-redo" : "#b-undo").click(); }
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (key === "/") { event.preventDefault(); $("#b-find").focus(); }
      if (key === "?") $("#b-help").showModal();
      const table = target.closest?.(".b-branch")?.querySelector(".b-table");
      if (key === "i" && table) { clearTimeout(timer); show(table); panel.focus(); }
    });
    addEventListener("resize", close);
    $(".b-middle").addEventListener("scroll", close);
  });
})();
