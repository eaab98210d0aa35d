// Pages work without this: they ask for themselves. It hears from the server, and lets them ask when there is news.
// A part of a page names its channels in data-live and asks at the event "live" and every few seconds (hx-trigger).
(() => {
  "use strict";
  const PING = 30_000; // L12
  const ANSWER = 5_000;
  const CALM = 3_000; // between two answers to progress; a change of state is asked for at once
  const STALE = 15_000; // a hint may be lost: so long after the last answer a part asks although it is live
  const LOST = { 4401: Infinity, 4429: 30_000 }; // close codes: not again on this page; a tab too many

  let socket, pinging, answering, state;
  let attempts = 0;
  const heard = new Map(); // job → the sequence number shown last
  const asked = new Map(); // part → when it asked last; by name, for each answer is a new element
  let subscribed = new Set();

  const parts = () => [...document.querySelectorAll("[data-live]")];
  const channelsOf = (part) => part.dataset.live.split(" ").filter(Boolean);
  const nameOf = (part) => part.id || part.dataset.live;
  const sinceAsked = (part) => Date.now() - (asked.get(nameOf(part)) || 0);
  const is = (wanted) => state === wanted;

  const said = (name = "") => `say${name.charAt(0).toUpperCase()}${name.slice(1)}`; // data-say-<name>

  // -- the word beside the dot
  const show = (next = state) => {
    state = next;
    for (const place of document.querySelectorAll("[data-live-state]")) {
      place.hidden = !state;
      place.dataset.liveState = state || "";
      const words = place.dataset[said(state)] || "";
      const word = place.querySelector("[data-live-word]");
      if (word.textContent !== words) word.textContent = words;
    }
  };
  const without = () => (navigator.onLine === false ? "offline" : attempts < 3 ? "reconnecting" : "polling");

  // -- the socket
  const say = (frame) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));
  const follow = () => {
    const wanted = new Set(parts().flatMap(channelsOf));
    if (!socket && wanted.size && attempts === 0) return connect();
    for (const channel of wanted) if (!subscribed.has(channel)) say({ action: "subscribe", channel });
    for (const channel of subscribed) if (!wanted.has(channel)) say({ action: "unsubscribe", channel });
    if (socket?.readyState === WebSocket.OPEN) subscribed = wanted;
  };
  const ping = () => {
    say({ action: "ping" });
    clearTimeout(answering);
    answering = setTimeout(() => socket?.close(), ANSWER);
  };
  const connect = () => {
    const opened = (socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/import`));
    opened.addEventListener("open", () => {
      subscribed = new Set();
      follow();
      ping(); // live is who answers, not who was let in
      pinging = setInterval(ping, PING);
    });
    opened.addEventListener("message", ({ data }) => hear(JSON.parse(data)));
    opened.addEventListener("close", ({ code }) => {
      clearInterval(pinging);
      clearTimeout(answering);
      if (socket !== opened) return;
      socket = undefined;
      attempts += 1;
      show(LOST[code] ? "polling" : without());
      const wait = LOST[code] || Math.min(30_000, 1000 * 2 ** (attempts - 1)) * (0.8 + 0.4 * Math.random());
      if (wait < Infinity) setTimeout(() => socket || connect(), wait); // L11: 1 to 30 s
    });
  };
  addEventListener("pagehide", () => {
    const last = socket;
    socket = undefined;
    last?.close();
  });
  addEventListener("pageshow", ({ persisted }) => persisted && !socket && connect());
  addEventListener("offline", () => show("offline"));
  addEventListener("online", () => (socket ? ping() : show(without())));

  // -- what is heard
  const hear = (frame) => {
    if (frame.type === "pong") {
      clearTimeout(answering);
      if (!is("live")) {
        const again = Boolean(state);
        attempts = 0;
        show("live");
        if (again) for (const part of parts()) if (!part.querySelector("[data-live]")) ask(part); // what was missed
      }
    }
    const { channel, event, data } = frame;
    if (event === "notification.created") htmx.trigger(document.body, "news"); // the bell asks how many
    if (!event || !data?.job_id) return;
    const isChange = event.endsWith(".status.changed");
    if (!isChange && data.sequence < (heard.get(data.job_id) ?? -1)) return; // older than what is shown
    heard.set(data.job_id, Math.max(data.sequence, heard.get(data.job_id) ?? -1));
    draw(data);
    for (const part of parts()) {
      if (!channelsOf(part).includes(channel) || part.querySelector("[data-live]")) continue; // the inner one asks
      if (isChange || (!document.hidden && sinceAsked(part) >= CALM)) ask(part);
    }
    if (isChange && channel.startsWith("user.")) toast(data);
  };
  const ask = (part) => {
    asked.set(nameOf(part), Date.now());
    htmx.trigger(part, "live");
  };
  const draw = (data) => {
    for (const bar of document.querySelectorAll(`[data-live-bar="${data.job_id}"]`)) {
      if (data.progress === null) bar.removeAttribute("value"); // nobody knows how far: the bar says so
      else bar.value = data.progress;
    }
    for (const place of document.querySelectorAll(`[data-live-percent="${data.job_id}"]`)) {
      place.textContent = data.progress === null ? "" : `${Math.floor(data.progress)} %`;
    }
  };

  // -- the end of a job of one's own (L13)
  const toast = (data) => {
    const place = document.getElementById("live-toasts");
    const ended = data.event_type?.replace("job_", "");
    const words = place?.dataset[said(ended === "completed" && data.buckets ? data.kind : ended)];
    if (!words || !("profile_name" in data)) return;
    const values = { ...data, ...data.buckets, name: data.profile_name, message: data.errors[0]?.message || "" };
    const made = place.querySelector("template").content.cloneNode(true).firstElementChild;
    made.querySelector("[data-toast-words]").textContent = words.replace(/{(\w+)}/g, (_, name) =>
      typeof values[name] === "number" ? values[name].toLocaleString(document.documentElement.lang) : (values[name] ?? ""),
    );
    const url = data.profile_id || data.buckets ? place.dataset.jobUrl : place.dataset.fileUrl;
    made.querySelector("[data-toast-url]").href = url.replace("00000000-0000-0000-0000-000000000000", data.job_id);
    made.querySelector("[data-toast-close]").addEventListener("click", () => made.remove());
    place.append(made);
  };

  document.addEventListener("DOMContentLoaded", () => {
    follow();
    document.body.addEventListener("htmx:afterSettle", () => {
      show();
      follow();
    });
    // While the socket lives nobody needs to poll; a part that heard nothing for long asks all the same.
    document.body.addEventListener("htmx:beforeRequest", (event) => {
      const part = event.detail.elt;
      if (!part.matches("[data-live]") || event.detail.requestConfig.triggeringEvent || part.id === "import-monitor") return;
      if (is("live") && sinceAsked(part) < STALE) event.preventDefault();
      else asked.set(nameOf(part), Date.now());
    });
    document.body.addEventListener("htmx:sendError", () => is("live") || show("offline"));
    document.body.addEventListener("htmx:afterOnLoad", () => is("offline") && show(without()));
  });
})();
