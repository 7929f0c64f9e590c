"use strict";
// Charts as SVG through Observable Plot; colours are CSS variables, so that themes need no redraw.
window.Curate ??= {};

Curate.charts = (() => {
  const {number, share, tick} = Curate.format;
  const {h} = Curate.dom;
  const STEPS = 9; // shades of the density's ramp, --ramp-1 to --ramp-9
  const SVG = "http://www.w3.org/2000/svg";
  const AXIS = {labelAnchor: "center", labelArrow: "none"};

  const sum = (counts) => counts.reduce((total, count) => total + count, 0);

  /**
   * Draw now and whenever the width of the place changes; `draw(width)` gives {svg, label}. To
   * assistive technology the place is one picture with that label; without one it is nothing.
   */
  function responsive(place, draw) {
    let drawn = 0;
    const redraw = () => {
      const width = Math.round(place.clientWidth);
      if (width === 0 || width === drawn) return;
      drawn = width;
      const {svg, label} = draw(width);
      svg.setAttribute("aria-hidden", "true"); // Plot names parts of a chart, which have no roles
      place.replaceChildren(svg);
      if (label) {
        place.setAttribute("role", "img");
        place.setAttribute("aria-label", label);
      }
    };
    place.redraw = () => {
      drawn = 0;
      redraw();
    };
    redraw();
    new ResizeObserver(redraw).observe(place);
    return place;
  }

  function bins(edges, counts, total) {
    return counts.map((count, i) => ({
      from: edges[i],
      to: edges[i + 1],
      count,
      share: total ? count / total : 0,
    }));
  }

  /** Outline of a histogram as points of a line with steps. */
  function outline(rows) {
    return rows.flatMap((row) => [
      {x: row.from, y: row.share},
      {x: row.to, y: row.share},
    ]);
  }

  /** Pool, kept (if anything was decided) and Reference of one column over its bins. */
  function distribution(column, scale, decided, width) {
    const binned = column[scale];
    const total = sum(binned.pool);
    const pool = bins(binned.edges, binned.pool, total);
    const kept = bins(binned.edges, binned.kept, total);
    const reference = binned.reference ? bins(binned.edges, binned.reference, sum(binned.reference)) : [];
    const tell = (row, i) =>
      [
        `${number(row.from)} to ${number(row.to)}`,
        `pool ${share(row.share)}`,
        ...(decided ? [`kept ${share(kept[i].share)}`] : []),
        ...(reference.length ? [`Reference ${share(reference[i].share)}`] : []),
      ].join("\n");
    const rows = pool.map((row, i) => ({...row, text: tell(row, i), middle: middle(row, scale)}));
    const lines = column.thresholds.filter(
      ({value}) => value !== null && value >= binned.edges[0] && value <= binned.edges.at(-1),
    );
    const svg = Plot.plot({
      width,
      height: 210 + 15 * lines.length,
      marginTop: 14 + 15 * lines.length,
      marginLeft: 46,
      marginBottom: 40,
      marginRight: 12,
      x: {
        ...AXIS,
        type: scale,
        label: column.unit ? `${column.label}, ${column.unit}` : column.label,
        ticks: Math.max(3, Math.floor(width / 90)),
        ...(scale === "log" ? {tickFormat: logTick(binned.edges)} : {tickFormat: tick}),
      },
      y: {...AXIS, label: null, tickFormat: (x) => `${tick(100 * x)} %`, ticks: 4, grid: true},
      marks: [
        Plot.rectY(rows, {x1: "from", x2: "to", y: "share", fill: "var(--pool)", inset: 0}),
        ...(decided
          ? [Plot.rectY(kept, {x1: "from", x2: "to", y: "share", fill: "var(--kept)", inset: 0})]
          : []),
        ...(reference.length
          ? [Plot.line(outline(reference), {x: "x", y: "y", stroke: "var(--reference)", strokeWidth: 1.75})]
          : []),
        Plot.ruleY([0], {stroke: "var(--axis)"}),
        Plot.ruleX(lines, {x: "value", stroke: "var(--cut)", strokeWidth: 1.5, insetTop: -6}),
        ...lines.map((line, i) =>
          Plot.text([line], {
            x: "value",
            text: "label",
            frameAnchor: "top",
            dy: -16 - 15 * i,
            fill: "var(--cut)",
            fontWeight: 600,
            ...anchored(line.value, binned.edges, scale),
          }),
        ),
        Plot.tip(rows, Plot.pointerX({x: "middle", y: "share", title: "text", lineHeight: 1.3})),
      ],
    });
    return {svg, label: describe(column, scale, pool)};
  }

  function middle(row, scale) {
    return scale === "log" ? Math.sqrt(row.from * row.to) : (row.from + row.to) / 2;
  }

  /** Labels of thresholds run to the side that has room. */
  function anchored(value, edges, scale) {
    const at = scale === "log" ? Math.log : (x) => x;
    const position = (at(value) - at(edges[0])) / (at(edges.at(-1)) - at(edges[0]));
    return position < 0.33
      ? {textAnchor: "start", dx: -2}
      : position > 0.67
        ? {textAnchor: "end", dx: 2}
        : {textAnchor: "middle"};
  }

  /** Labels for powers of ten, and for 2 and 5 where a scale spans fewer than two of them. */
  function logTick(edges) {
    const decades = Math.log10(edges.at(-1) / edges[0]);
    const labelled = decades > 2 ? [1] : decades > 1 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 8];
    return (x) => (labelled.includes(Number(x.toExponential(0)[0])) ? tick(x) : "");
  }

  function describe(column, scale, pool) {
    const top = pool.reduce((best, row) => (row.count > best.count ? row : best));
    return (
      `${column.label}, ${scale} axis: most samples between ${number(top.from)} and ${number(top.to)}` +
      ` (${share(top.share)} of the pool); mean ${number(column.mean)}`
    );
  }

  /** A small histogram above a slider, with what the cut drops shaded; `move(value)` shifts it. */
  function strip(column, keep, width) {
    const scale = column.log ? "log" : "linear";
    const {edges, pool} = column[scale];
    const height = 64;
    const rows = bins(edges, pool, sum(pool));
    const svg = Plot.plot({
      width,
      height,
      marginTop: 4,
      marginBottom: 16,
      marginLeft: 1,
      marginRight: 1,
      x: {
        type: scale,
        label: null,
        ticks: Math.max(2, Math.floor(width / 90)),
        tickSize: 0,
        tickPadding: 4,
        tickFormat: scale === "log" ? logTick(edges) : tick,
      },
      y: {axis: null},
      marks: [
        Plot.rectY(rows, {x1: "from", x2: "to", y: "share", fill: "var(--kept)", inset: 0}),
        Plot.ruleY([0], {stroke: "var(--axis)"}),
      ],
    });
    const x = svg.scale("x");
    const veil = svgElement("rect", {class: "veil", y: 0, height: height - 16});
    const cut = svgElement("line", {class: "cut", y1: 0, y2: height - 16});
    svg.append(veil, cut);
    const move = (value) => {
      const at = place(x, value, edges);
      veil.setAttribute("x", keep === "at_least" ? 0 : at);
      veil.setAttribute("width", Math.max(0, keep === "at_least" ? at : width - at));
      cut.setAttribute("x1", at);
      cut.setAttribute("x2", at);
    };
    return {svg, move}; // without a label: the slider beside it says the same
  }

  const place = (scale, value, edges) => scale.apply(Math.min(Math.max(value, edges[0]), edges.at(-1)));

  function svgElement(tag, attributes) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  /** Counts of two columns as shades; `cross({x, y})` draws cuts, of which each may be several. */
  function density(joint, which, labels, width) {
    const cells = [];
    joint[which].forEach((line, i) =>
      line.forEach((count, k) => {
        if (count > 0)
          cells.push({
            x1: joint.x_edges[i],
            x2: joint.x_edges[i + 1],
            y1: joint.y_edges[k],
            y2: joint.y_edges[k + 1],
            count,
          });
      }),
    );
    const most = Math.log1p(joint[which].flat().reduce((a, b) => Math.max(a, b), 1));
    const shade = ({count}) => `var(--ramp-${Math.max(1, Math.ceil((STEPS * Math.log1p(count)) / most))})`;
    const xScale = joint.x_scale ?? "linear";
    const yScale = joint.y_scale ?? "linear";
    const svg = Plot.plot({
      width,
      height: Math.round(Math.min(width, 460) * 0.86),
      marginTop: 10,
      marginLeft: 58,
      marginRight: 12,
      marginBottom: 42,
      x: {
        ...AXIS,
        type: xScale,
        label: labels.x,
        domain: [joint.x_edges[0], joint.x_edges.at(-1)],
        ticks: Math.max(3, Math.floor(width / 90)),
        tickFormat: xScale === "log" ? logTick(joint.x_edges) : tick,
      },
      y: {
        ...AXIS,
        type: yScale,
        label: labels.y,
        domain: [joint.y_edges[0], joint.y_edges.at(-1)],
        ticks: 5,
        tickFormat: yScale === "log" ? logTick(joint.y_edges) : tick,
      },
      color: {type: "identity"},
      marks: [
        Plot.frame({stroke: "var(--line)"}),
        Plot.rect(cells, {x1: "x1", x2: "x2", y1: "y1", y2: "y2", fill: shade, inset: -0.2}),
      ],
    });
    const x = svg.scale("x");
    const y = svg.scale("y");
    const group = svgElement("g", {class: "cross"});
    svg.append(group);
    const line = (x1, y1, x2, y2) => svgElement("line", {x1, y1, x2, y2});
    const cross = (cuts) =>
      group.replaceChildren(
        ...cuts.x
          .map((value) => place(x, value, joint.x_edges))
          .map((at) => line(at, y.range[0], at, y.range[1])),
        ...cuts.y
          .map((value) => place(y, value, joint.y_edges))
          .map((at) => line(x.range[0], at, x.range[1], at)),
      );
    return {
      svg,
      cross,
      label: `${labels.y} against ${labels.x}, ${which === "pool" ? "the pool" : "kept samples"}`,
    };
  }

  /** The ramp with its ends, for the legend of densities. */
  function rampLegend(most) {
    const shades = Array.from({length: STEPS}, (_, i) => h("span", {"--shade": `var(--ramp-${i + 1})`}));
    return h(
      "span",
      {class: "ramp"},
      "1",
      h("span", {class: "shades", "aria-hidden": "true"}, shades),
      Curate.format.count(most),
      " samples a bin, log scale",
    );
  }

  return Object.freeze({responsive, distribution, strip, density, rampLegend});
})();
