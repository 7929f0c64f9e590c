"use strict";
// One chart for every score and every cheap property.
window.Curate ??= {};

Curate.distributions = (() => {
  const {h, segments, dataTable} = Curate.dom;
  const {number, share, count, plural} = Curate.format;

  function render(section, report) {
    let scale = "linear";
    const places = [];
    section.querySelector(".tools").append(
      segments(
        "Axis of values",
        [
          ["linear", "Linear"],
          ["log", "Logarithmic"],
        ],
        scale,
        (chosen) => {
          scale = chosen;
          places.forEach((place) => place.redraw());
        },
      ),
    );
    const scaleOf = (column) => (column[scale] ? scale : column.linear ? "linear" : "log");
    section.querySelector(".body").append(
      ...report.columns.map((column) => {
        const place = h("div", {class: "chart"});
        places.push(place);
        const element = h(
          "figure",
          {class: "panel"},
          h("figcaption", {}, h("h3", {}, column.label), h("p", {}, column.meaning)),
          place,
          statistics(column),
          dataTable("Bins and quantiles as tables", `Distribution of ${column.label}`, heads(column), () =>
            rows(column),
          ),
        );
        if (!column.linear && !column.log) {
          place.replaceWith(h("p", {class: "note"}, "No sample has a value here."));
          return element;
        }
        queueMicrotask(() =>
          Curate.charts.responsive(place, (width) =>
            Curate.charts.distribution(column, scaleOf(column), report.subset !== null, width),
          ),
        );
        return element;
      }),
    );
    if (report.subset === null) section.querySelector(".legend .kept").parentElement.remove();
    // Without a Reference in any chart, its key would explain nothing.
    if (!report.columns.some((column) => column.linear?.reference))
      section.querySelector(".legend .reference").parentElement.remove();
  }

  function statistics(column) {
    const fact = (term, value) => h("div", {}, h("dt", {}, term), h("dd", {}, value));
    const median = column.quantiles.value[column.quantiles.p.indexOf(0.5)] ?? null;
    return h(
      "dl",
      {class: "statistics"},
      fact("mean", number(column.mean)),
      fact("sd", number(column.sd)),
      median === null ? null : fact("median", number(median)),
      fact("min", number(column.min)),
      fact("max", number(column.max)),
      column.missing ? fact("missing", plural(column.missing, "sample")) : null,
    );
  }

  const heads = (column) => [
    "From – to, or quantile",
    "Pool",
    "Kept",
    ...(column.linear?.reference ? ["Reference"] : []),
  ];

  function rows(column) {
    const {edges, pool, kept, reference} = column.linear ??
      column.log ?? {edges: [], pool: [], kept: [], reference: null};
    const binned = pool.map((n, i) => [
      `${number(edges[i])} – ${number(edges[i + 1])}`,
      count(n),
      count(kept[i]),
      ...(reference ? [count(reference[i])] : []),
    ]);
    const blank = reference ? ["", ""] : [""];
    const quantiles = column.quantiles.p.map((p, i) => [
      `${share(p)} of the pool below`,
      number(column.quantiles.value[i]),
      ...blank,
    ]);
    return [...quantiles, ...binned];
  }

  return Object.freeze({render});
})();
