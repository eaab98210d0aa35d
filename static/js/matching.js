// The two limits of matching: slider and number are one value; lines and counts follow while it moves.
(() => {
  "use strict";
  const set = (box) => {
    const number = (name) => box.querySelector(`#id_${name}`);
    const fields = { threshold: number("confidence_threshold"), floor: number("review_floor") };
    const sliders = Object.fromEntries([...box.querySelectorAll("[data-slides]")].map((each) => [each.dataset.slides, each]));
    const figure = box.querySelector("[data-confidences]");
    const found = figure ? figure.dataset.confidences.split(" ").map(Number) : [];
    const limit = (field) => (field.value.trim() === "" ? null : Math.min(100, Math.max(0, Number(field.value) || 0)));

    const draw = () => {
      const threshold = limit(fields.threshold) ?? 85;
      const floor = limit(fields.floor);
      sliders.threshold.value = threshold;
      sliders.floor.value = floor ?? threshold;
      const { sayNobody, sayPercent } = sliders.floor.dataset;
      sliders.floor.setAttribute("aria-valuetext", floor === null ? sayNobody : sayPercent.replace("{percent}", floor));
      if (!figure) return;
      for (const [name, at] of Object.entries({ threshold, floor })) {
        const line = figure.querySelector(`[data-limit="${name}"]`);
        line.toggleAttribute("hidden", at === null);
        line.setAttribute("x1", at ?? threshold);
        line.setAttribute("x2", at ?? threshold);
      }
      const same = found.filter((each) => each >= threshold).length;
      const asked = floor === null ? 0 : found.filter((each) => each >= floor && each < threshold).length;
      const counts = { same, asked, new: found.length - same - asked };
      for (const [name, count] of Object.entries(counts)) {
        figure.querySelector(`[data-count="${name}"]`).textContent = count.toLocaleString(document.documentElement.lang);
      }
    };

    sliders.threshold.addEventListener("input", () => {
      fields.threshold.value = sliders.threshold.value;
      draw();
    });
    // A floor at the threshold asks nobody: the field is empty then.
    sliders.floor.addEventListener("input", () => {
      const threshold = limit(fields.threshold) ?? 85;
      fields.floor.value = Number(sliders.floor.value) < threshold ? sliders.floor.value : "";
      draw();
    });
    for (const field of Object.values(fields)) field.addEventListener("input", draw);
    for (const slider of Object.values(sliders)) slider.hidden = false;
    draw();
  };
  for (const box of document.querySelectorAll("[data-limits]")) set(box);
})();
