"use strict";
// A table of coefficients, shaded by sign and size.
window.Curate ??= {};

Curate.correlations = (() => {
  const {h, segments} = Curate.dom;
  const {count} = Curate.format;

  function render(section, report) {
    if (report.correlations === null) {
      Curate.dom.leaveOut(section);
      return;
    }
    const {names, rows, of} = report.correlations;
    const labels = names.map((name) => report.columns.find((column) => column.name === name)?.label ?? name);
    section.querySelector(".about").textContent =
      `Of every two columns, over ${rows === of ? "all" : `a seeded sample of ${count(rows)} of`} ${count(of)} scored samples. Blue: they rise together; orange: one falls as the other rises.`;
    const body = section.querySelector(".body");
    const draw = (kind) =>
      body.replaceChildren(
        h(
          "div",
          {class: "scroll", tabindex: "0", role: "region", "aria-label": "Correlation table"},
          matrix(labels, report.correlations[kind], kind),
        ),
      );
    section.querySelector(".tools").append(
      segments(
        "Coefficient",
        [
          ["spearman", "Spearman (ranks)"],
          ["pearson", "Pearson"],
        ],
        "spearman",
        draw,
      ),
    );
    draw("spearman");
  }

  function matrix(labels, values, kind) {
    return h(
      "table",
      {class: "matrix"},
      h("caption", {class: "hidden"}, `${kind} correlation of all columns`),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td", {}),
          labels.map((label) => h("th", {scope: "col"}, h("span", {}, label))),
        ),
      ),
      h(
        "tbody",
        {},
        labels.map((label, i) =>
          h(
            "tr",
            {},
            h("th", {scope: "row"}, label),
            values[i].map((value, k) => cell(value, i === k)),
          ),
        ),
      ),
    );
  }

  function cell(value, own) {
    if (value === null) return h("td", {class: "shade none"}, "–");
    const text = value.toFixed(2).replace("-", "−");
    return h(
      "td",
      {
        class: `shade ${own ? "own" : value < 0 ? "falling" : "rising"}`,
        "--strength": Math.abs(value).toFixed(3),
      },
      text,
    );
  }

  return Object.freeze({render});
})();
