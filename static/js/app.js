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

  document.addEventListener("DOMContentLoaded", () => {
    applyTheme();
    said = document.querySelector("[data-announce]")?.dataset.announce || "";
    document.body.addEventListener("htmx:afterSettle", announce);
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
