"use strict";
// Pairs of scores as densities; their crosses follow the sliders.
window.Curate ??= {};

Curate.densities = (() => {
  const {h, segments, dataTable} = Curate.dom;
  const {number, count} = Curate.format;

  function render(section, report, state) {
    if (report.joint.length === 0) {
      Curate.dom.leaveOut(section);
      return;
    }
    let which = "pool";
    const charts = [];
    if (report.subset)
      section.querySelector(".tools").append(
        segments(
          "Samples shown",
          [
            ["pool", "Pool"],
            ["kept", "Kept, as decided"],
          ],
          which,
          (chosen) => {
            which = chosen;
            charts.forEach(({place}) => place.redraw());
          },
        ),
      );
    section.querySelector(".body").append(
      ...report.joint.map((joint) => {
        const labels = {x: labelOf(report, joint.x), y: labelOf(report, joint.y)};
        const place = h("div", {class: "chart"});
        const chart = {place, cross: () => {}};
        const cuts = () => ({x: cutsOf(state, joint.x), y: cutsOf(state, joint.y)});
        chart.follow = () => chart.cross(cuts());
        charts.push(chart);
        queueMicrotask(() =>
          Curate.charts.responsive(place, (width) => {
            const drawn = Curate.charts.density(joint, which, labels, width);
            chart.cross = drawn.cross;
            chart.follow();
            return drawn;
          }),
        );
        const most = joint.pool.flat().reduce((a, b) => Math.max(a, b), 1);
        return h(
          "figure",
          {class: "panel"},
          h("figcaption", {}, h("h3", {}, `${labels.y} against ${labels.x}`)),
          place,
          Curate.charts.rampLegend(most),
          dataTable(
            "Densest bins as a table",
            `Bins of ${labels.x} and ${labels.y}`,
            [labels.x, labels.y, "Pool", "Kept"],
            () => densest(joint),
          ),
        );
      }),
    );
    state.onChange(() => charts.forEach(({follow}) => follow()));
  }

  const labelOf = (report, name) => report.columns.find((column) => column.name === name)?.label ?? name;

  /** Values that the sliders of a column stand at; none where nothing or everything passes. */
  function cutsOf(state, name) {
    if (state.model === null) return [];
    return state.model.tests
      .filter((test) => state.model.columns[test.column].name === name)
      .map((test) => state.model.columns[test.column].edges[state.edges[test.id]]?.value)
      .filter((value) => value !== undefined && value !== null);
  }

  function densest(joint) {
    const between = (edges, i) => `${number(edges[i])} – ${number(edges[i + 1])}`;
    return joint.pool
      .flatMap((line, i) => line.map((n, k) => ({i, k, n})))
      .filter(({n}) => n > 0)
      .sort((a, b) => b.n - a.n)
      .slice(0, 200)
      .map(({i, k, n}) => [
        between(joint.x_edges, i),
        between(joint.y_edges, k),
        count(n),
        count(joint.kept[i][k]),
      ]);
  }

  return Object.freeze({render});
})();
