// The little that HTML and htmx cannot do: the theme, announcements, and menus that close.
(() => {
  "use strict";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is switched off: the preference of the system counts
    }
  };
  const applyTheme = () => {
    const theme = remembered() || (dark.matches ? "dark" : "light");
    root.dataset.bsTheme = theme;
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.setAttribute("aria-pressed", String(theme === "dark"));
    }
  };
  applyTheme(); // before the first paint: this script is loaded in the head
  dark.addEventListener("change", applyTheme);

  // What a fragment wants said is said once: polling brings the same words again and again.
  let said = "";
  const announce = () => {
    const words = document.querySelector("[data-announce]")?.dataset.announce || "";
    if (words && words !== said) document.getElementById("announcements").textContent = words;
    said = words;
  };

  // A pasted address fills the fields here, so that its password never travels as part of a page.
  const fill = (form) => {
    let url;
    try {
      url = new URL(form.querySelector("[data-connection-url]").value.trim());
    } catch {
      return false; // the server says what is wrong with it
    }
    if (!/^postgres(ql)?:$/.test(url.protocol) || !url.hostname || url.pathname.length < 2) return false;
    const values = {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port || "5432",
      database: decodeURIComponent(url.pathname.slice(1)),
      username: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      ssl_mode: url.searchParams.get("sslmode"),
    };
    for (const [name, value] of Object.entries(values)) if (value) form.elements[name].value = value;
    form.querySelector("[data-connection-url]").value = "";
    const said = form.querySelector("[data-connection-said]");
    said.textContent = said.dataset.sayFilled;
    form.elements[values.password ? "name" : "password"].focus();
    return true;
  };
  const unhide = () => {
    for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = !navigator.clipboard;
  };

  // A dialog that came open with its page holds the focus; closed, the page beneath is the one to come back to.
  const showModal = (dialog) => {
    dialog.close();
    dialog.showModal();
    dialog.addEventListener("cancel", (event) => {
      if (dialog.querySelector("[data-starting]")) event.preventDefault();
    });
    dialog.addEventListener("close", () => {
      history.replaceState(null, "", dialog.dataset.modal);
      const heading = document.querySelector("main h1, h1");
      heading?.setAttribute("tabindex", "-1");
      heading?.focus();
    });
  };

  document.addEventListener("DOMContentLoaded", () => {
    applyTheme();
    for (const dialog of document.querySelectorAll("dialog[data-modal][open]")) showModal(dialog);
    unhide();
    document.body.addEventListener("htmx:afterSettle", unhide);
    said = document.querySelector("[data-announce]")?.dataset.announce || "";
    document.body.addEventListener("htmx:afterSettle", announce);
    // The monitor says when it no longer hears from the server; the next answer replaces the words.
    const lost = ({ target, detail }) => {
      const health = target.closest?.("#import-monitor")?.querySelector("[data-monitor-health]");
      if (!health) return;
      health.classList.add("sv-red");
      health.textContent = detail.xhr?.status === 429 ? health.dataset.sayTooMany : health.dataset.sayLost;
    };
    document.body.addEventListener("htmx:sendError", lost);
    document.body.addEventListener("htmx:responseError", lost);
    document.body.addEventListener("click", (event) => {
      if (event.target.closest("[data-theme-toggle]")) {
        try {
          localStorage.setItem("theme", root.dataset.bsTheme === "dark" ? "light" : "dark");
        } catch {
          root.dataset.bsTheme = root.dataset.bsTheme === "dark" ? "light" : "dark";
          return;
        }
        applyTheme();
      }
      const copies = event.target.closest("[data-copy]");
      if (copies) {
        navigator.clipboard?.writeText(document.querySelector(copies.dataset.copy).innerText).then(() => {
          const place = document.getElementById("announcements");
          place.textContent = place.dataset.sayCopied;
        });
      }
      const fills = event.target.closest("[data-connection-fill]");
      if (fills && fill(fills.form)) event.preventDefault();
      for (const menu of document.querySelectorAll("details[data-menu][open]")) {
        if (!menu.contains(event.target)) menu.open = false;
      }
    });
    document.body.addEventListener("keydown", (event) => {
      const menu = event.key === "Escape" && event.target.closest("details[open]");
      if (menu) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    });
  });
})();
