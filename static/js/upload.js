// A file on its way to the server. Works without this: it adds dropping, progress, and for a large file parts that go on
// where they stopped, after a lost connection or when the page was left (F-040, F-160).
(() => {
  "use strict";
  const LARGE = 8 * 1048576; // what is smaller goes in one piece
  const PATIENCE = 30_000; // the longest pause between tries
  const TRIES = 12; // in a row; four minutes
  const megabytes = (bytes) => {
    const [size, unit] = bytes < 104858 ? [bytes / 1024, "KB"] : [bytes / 1048576, "MB"];
    return `${size.toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 })} ${unit}`;
  };

  // The words are the page's: `{name}` in them stands for a value.
  const way = (form) => form.querySelector("[data-upload-way]");
  const words = (form, name, values = {}) => way(form).dataset[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);

  // -- the file that is chosen
  const say = (form, text, wrong) => {
    const place = form.querySelector("[data-upload-said]");
    if (!place) return;
    place.textContent = text;
    place.classList.toggle("sv-wrong", Boolean(wrong));
  };
  const fits = (form, file) => !file || file.size <= Number(form.dataset.maxBytes);
  const look = (input) => {
    const form = input.closest("[data-upload]");
    const file = input.files[0];
    if (!file) return say(form, "");
    const limit = megabytes(Number(form.dataset.maxBytes));
    if (fits(form, file)) say(form, `${file.name} – ${megabytes(file.size)}`);
    else say(form, words(form, "sayTooLarge", { name: file.name, size: megabytes(file.size), limit }), true);
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
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-upload] input[type=file]")) look(event.target);
  });

  // -- in one piece
  document.addEventListener("htmx:xhr:progress", (event) => {
    const bar = event.target.closest("[data-upload]")?.querySelector("[data-upload-bar]");
    if (!bar || !event.detail.lengthComputable) return;
    bar.hidden = false;
    if (event.detail.loaded < event.detail.total) bar.value = (event.detail.loaded * 100) / event.detail.total;
    else bar.removeAttribute("value"); // all was sent: the server reads it now
  });
  for (const kind of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(kind, (event) => {
      const form = event.target.closest?.("[data-upload]");
      const bar = form?.querySelector("[data-upload-bar]");
      if (!bar) return;
      bar.hidden = true;
      const status = event.detail.xhr?.status;
      say(form, words(form, status === 413 ? "sayNoRoom" : status ? "sayFailed" : "sayLost", { status }), true);
    });
  }

  // -- in parts
  class Refused extends Error {}
  class Stopped extends Error {}
  const underway = new WeakMap(); // form → what stops its upload

  const tell = (form, name, values) => {
    const parts = way(form).querySelector("[data-upload-parts]");
    parts.hidden = false;
    parts.querySelector("[data-upload-told]").textContent = words(form, name, values);
  };
  const show = (form, name, sent, size) => {
    const bar = form.querySelector("[data-upload-bar]");
    bar.hidden = false;
    bar.value = (sent * 100) / size;
    tell(form, name, { sent: megabytes(sent), size: megabytes(size) });
  };

  // Remembered by the browser, so that the same file goes on after the page was closed.
  const memory = (file) => `sv-upload:${file.name}:${file.size}:${file.lastModified}`;
  const remembered = (file) => {
    try {
      return localStorage.getItem(memory(file));
    } catch {
      return null; // storage is switched off: it begins anew
    }
  };
  const remember = (file, id) => {
    try {
      if (id) localStorage.setItem(memory(file), id);
      else localStorage.removeItem(memory(file));
    } catch {
      // as above
    }
  };

  const ask = async (form, signal, method, address, { headers, body } = {}) => {
    const token = form.elements.csrfmiddlewaretoken.value;
    const answer = await fetch(address, { method, body, signal, headers: { "X-CSRFToken": token, ...headers } });
    if (answer.ok || answer.status === 409 || answer.status === 404 || answer.status === 410) return answer;
    if (answer.status === 429 || answer.status >= 500) {
      throw Object.assign(new TypeError(answer.statusText), { wait: Number(answer.headers.get("Retry-After")) * 1000 });
    }
    const said = await answer.json().catch(() => ({}));
    throw new Refused(said.message || answer.statusText);
  };
  const begin = async (form, signal, file) => {
    const body = JSON.stringify({ filename: file.name, size: file.size });
    const answer = await ask(form, signal, "POST", way(form).dataset.parts, { body, headers: { "Content-Type": "application/json" } });
    const told = await answer.json();
    if (!answer.ok) throw new Refused(told.message);
    remember(file, told.upload_id);
    return { id: told.upload_id, offset: 0, part: told.chunk_size };
  };
  const resumed = async (form, signal, file) => {
    const id = remembered(file);
    const answer = id && (await ask(form, signal, "GET", `${way(form).dataset.parts}/${id}`));
    if (!answer || !answer.ok) return begin(form, signal, file);
    const told = await answer.json();
    return { id, offset: told.offset, part: told.chunk_size };
  };
  const pause = (signal, milliseconds) =>
    new Promise((resolve, reject) => {
      setTimeout(resolve, milliseconds);
      signal.addEventListener("abort", () => reject(new Stopped()), { once: true });
    });

  // Resolves to the upload's id once the server has every byte.
  const send = async (form, signal, file) => {
    let upload = null;
    let sent = 0;
    for (let tries = 0; ; ) {
      try {
        upload ??= await resumed(form, signal, file);
        sent = upload.offset;
        show(form, "saySent", sent, file.size);
        if (upload.offset >= file.size) return upload.id;
        const answer = await ask(form, signal, "PATCH", `${way(form).dataset.parts}/${upload.id}`, {
          body: file.slice(upload.offset, upload.offset + upload.part),
          headers: { "Content-Type": "application/octet-stream", "Upload-Offset": String(upload.offset) },
        });
        if (answer.ok) upload.offset = Number(answer.headers.get("Upload-Offset"));
        else upload = null; // it is elsewhere, or gone: asked anew
        tries = 0;
      } catch (error) {
        if (error instanceof Refused || error instanceof Stopped || error.name === "AbortError") throw error;
        if (++tries > TRIES) throw new Stopped();
        upload = null;
        show(form, "sayAgain", sent, file.size);
        await pause(signal, error.wait || Math.min(1000 * 2 ** (tries - 1), PATIENCE));
      }
    }
  };

  document.addEventListener("htmx:confirm", async (event) => {
    const form = event.target.matches("[data-upload]") && event.target;
    const input = form && form.querySelector("input[type=file]");
    const file = input && input.files[0];
    if (!file) return;
    if (!fits(form, file)) {
      event.preventDefault(); // said already
      input.focus();
      return;
    }
    if (file.size < LARGE || !way(form)) return;
    event.preventDefault();
    if (underway.has(form)) return;
    const stop = new AbortController();
    underway.set(form, stop);
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      form.elements.upload_id.value = await send(form, stop.signal, file);
      input.disabled = true; // it is there already
      form.querySelector("[data-upload-bar]").removeAttribute("value"); // the server reads it now
      event.detail.issueRequest(true);
    } catch (error) {
      const bar = form.querySelector("[data-upload-bar]");
      const sent = megabytes((file.size * bar.value) / 100);
      if (error instanceof Refused) tell(form, "sayRefused", { reason: error.message });
      else tell(form, "sayStopped", { sent, size: megabytes(file.size) });
    } finally {
      underway.delete(form);
      button.disabled = false;
    }
  });
  document.addEventListener("click", (event) => {
    const form = event.target.closest?.("[data-upload-stop]")?.closest("[data-upload]");
    if (form) underway.get(form)?.abort();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.target.matches?.("[data-upload]") && event.target;
    if (!form) return;
    const input = form.querySelector("input[type=file]");
    input.disabled = false;
    if (form.elements.upload_id.value && event.detail.successful) remember(input.files[0], null);
    form.elements.upload_id.value = "";
    form.querySelector("[data-upload-bar]").hidden = true;
    form.querySelector("[data-upload-parts]").hidden = true;
  });
})();
