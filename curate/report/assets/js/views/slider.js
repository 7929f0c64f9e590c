"use strict";
// One test of the rules: its slider, what the cut means, and the samples on either side of it.
window.Curate ??= {};

Curate.slider = (() => {
  const {h} = Curate.dom;
  const {count, share, number, plural} = Curate.format;
  const {stops, line} = Curate.criteria;
  const NEAR = 6; // samples shown on either side of a cut

  /** A card: {element, update(tally)}. */
  function create(test, report, state, context) {
    const column = state.model.columns[test.column];
    const described = report.columns.find(({name}) => name === column.name) ?? {label: column.name, unit: ""};
    const subject = {test, column, described, state};
    const ids = {title: `test-${test.id}-title`, value: `test-${test.id}-value`};
    const parts = [
      stripOf(subject),
      trackOf(subject, ids),
      meaningOf(subject, ids),
      nearOf(subject, report, context),
    ];
    const side = h("small", {}, test.keep === "at_least" ? " at least" : " at most");
    const head = h(
      "div",
      {class: "heading"},
      h("h3", {id: ids.title}, described.label, side),
      tagOf(subject, report),
    );
    const element = h(
      "div",
      {class: `panel slider ${test.keep}`, role: "group", "aria-labelledby": ids.title},
      head,
      parts.map((part) => part.element),
    );
    const update = (tally) => {
      element.classList.toggle("moved", state.edges[test.id] !== test.edge);
      parts.forEach((part) => part.update(state.edges[test.id], tally));
    };
    return {element, update};
  }

  /** What a card cannot show: that others may pass in its place, or that the rules lack it. */
  function tagOf({test, state}, report) {
    if (!test.active) return h("span", {class: "tag"}, "not in the rules yet");
    const others = Curate.rules.alternatives(state.model.rules, test.id);
    if (others.length === 0) return null;
    const names = others.map((id) => state.model.columns[state.model.tests[id].column].name);
    const labels = names.map((name) => report.columns.find((column) => column.name === name)?.label ?? name);
    return h("span", {class: "tag"}, `or ${[...new Set(labels)].join(", ")}`);
  }

  /** The histogram above the slider, with what the cut drops shaded. */
  function stripOf({test, column, described, state}) {
    const element = h("div", {class: "strip"});
    let drawn = null;
    if (described.linear || described.log) {
      queueMicrotask(() =>
        Curate.charts.responsive(element, (width) => {
          drawn = Curate.charts.strip(described, test.keep, width);
          drawn.move(valueAt(column, state.edges[test.id]));
          return drawn;
        }),
      );
    }
    return {element, update: (edge) => drawn?.move(valueAt(column, edge))};
  }

  function trackOf({test, column, described, state}, ids) {
    const places = stops(test, column);
    const range = h("input", {
      type: "range",
      min: 0,
      max: places.length - 1,
      step: 1,
      "aria-labelledby": ids.title,
      "aria-describedby": ids.value,
      oninput: () => state.move(test.id, places[Number(range.value)]),
    });
    const nudge = (by, sign, words) =>
      h(
        "button",
        {
          type: "button",
          class: "nudge",
          "aria-label": `${words}: ${described.label}`,
          onclick: () => {
            range.value = String(Number(range.value) + by);
            range.dispatchEvent(new Event("input"));
          },
        },
        sign,
      );
    const update = (edge) => {
      if (places[Number(range.value)] !== edge) range.value = String(places.indexOf(edge));
      const {value, unit, part} = wordsAt(test, column, described, edge);
      range.setAttribute("aria-valuetext", [`${value}${unit}`, part].filter(Boolean).join(", "));
    };
    return {
      element: h(
        "div",
        {class: "track"},
        nudge(-1, "−", "One step down"),
        range,
        nudge(1, "+", "One step up"),
      ),
      update,
    };
  }

  /** The value of the cut, how many fail it, and the line of YAML. */
  function meaningOf({test, column, described}, ids) {
    const value = h("p", {class: "value", id: ids.value});
    const effect = h("p", {class: "note"});
    const code = h("code", {class: "line"});
    const update = (edge, tally) => {
      const words = wordsAt(test, column, described, edge);
      value.replaceChildren(h("strong", {}, words.value), words.unit, h("span", {class: "note"}, words.part));
      effect.textContent = `${plural(failing(test, column, edge, tally.total), "sample")} fail this test, ${count(tally.only[test.id])} of them only this one`;
      code.textContent = line(test, column, edge, tally.total) ?? "not in the rules";
    };
    return {element: h("div", {}, value, effect, h("p", {class: "line-of"}, code)), update};
  }

  /** A cut in words: its value, its unit, and the part of the pool on the side that is dropped. */
  function wordsAt(test, column, described, edge) {
    const at = column.edges[edge];
    if (!at) {
      const keepsAll = edge < 0 === (test.keep === "at_least");
      return {value: keepsAll ? "no threshold" : "nothing passes", unit: "", part: ""};
    }
    const part =
      test.keep === "at_least"
        ? `${share(at.share)} of the pool below`
        : `${share(1 - at.share)} of the pool above`;
    if (at.value !== null)
      return {value: number(at.value), unit: described.unit ? ` ${described.unit}` : "", part};
    return {value: valueAt(column, edge) < 0 ? "among missing values" : "above every value", unit: "", part};
  }

  /** Where the cut lies on the axis of values; beyond it where nothing or everything passes. */
  function valueAt(column, edge) {
    if (edge < 0) return -Infinity;
    const at = column.edges[edge];
    if (!at) return Infinity;
    return at.value ?? (at.below <= column.missing ? -Infinity : Infinity); // JSON has no infinity
  }

  /** Samples that fail one test; those without a value fail every `at_most`. */
  function failing(test, column, edge, total) {
    const below = edge < 0 ? 0 : (column.edges[edge]?.below ?? total);
    return test.keep === "at_least" ? below : total - below + (edge < 0 ? 0 : column.missing);
  }

  /** Samples just below and just above the cut, which follow it. */
  function nearOf({column, described, state}, report, context) {
    const intervals = report.near[column.name] ?? [];
    const places = {below: h("div", {}), above: h("div", {})};
    const shown = state.model.columns
      .map(({name}) => context.columns.find((one) => one.name === name))
      .filter(Boolean);
    let drawnAt = null;
    let lists = [];
    const draw = (edge) => {
      if (edge === drawnAt) {
        lists.forEach((list) => list.update());
        return;
      }
      drawnAt = edge;
      const found = Curate.galleries.nearCut(intervals, edge, 2 * NEAR);
      lists = Object.entries(places).map(([side, place]) => {
        const entries = Curate.galleries.collapse(found[side], report.samples).slice(0, NEAR);
        if (side === "below") entries.reverse(); // ascending by value on both sides of the cut
        const list = Curate.cards.list(
          entries,
          {...context, shown},
          `Just ${side} the cut of ${described.label}`,
        );
        place.replaceChildren(
          entries.length ? list.element : h("p", {class: "note"}, "No sample lies there."),
        );
        return list;
      });
    };
    let waiting = 0;
    const update = (edge) => {
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(() => draw(edge)); // the counts come first
    };
    const side = (title, place) => h("div", {class: "side"}, h("h4", {}, title), place);
    const element = h(
      "div",
      {class: "near"},
      side("Just below the cut", places.below),
      side("Just above the cut", places.above),
    );
    return {element, update};
  }

  return Object.freeze({create});
})();
