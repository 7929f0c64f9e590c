"use strict";
// Sliders over the tests of the rules; what they keep, at once.
window.Curate ??= {};

Curate.explorerView = (() => {
  const {h, byId, breakable, copy} = Curate.dom;
  const {count, share, number, plural} = Curate.format;
  const {stops, line, yaml} = Curate.criteria;
  const NEAR = 6; // samples shown on either side of a cut
  const QUIET = 600; // ms without movement before counts are announced

  /**
   * Draw the explorer. `state`: {model, edges, onChange(listener), move(id, edge)}; `context`: of
   * cards.
   */
  function render(section, report, state, context) {
    const output = h("pre", {class: "yaml", tabindex: "0", role: "region", "aria-label": "Rules at these thresholds"});
    const copier = (text, kind) => {
      const button = h("button", {type: "button", class: kind, onclick: () => copy(output.textContent, button, output)}, text);
      return button;
    };
    const reset = h("button", {type: "button", onclick: () => state.reset()}, "Reset");
    const summary = summaryOf(report, state, [copier("Copy rules", "primary"), reset]);
    const sliders = state.model.tests.map((test) => slider(test, report, state, context));
    section.querySelector(".body").append(
      summary.element,
      h("div", {class: "sliders"}, sliders.map(({element}) => element)),
      h("div", {class: "panel"}, h("div", {class: "heading"}, h("h3", {}, "Rules at these thresholds"), copier("Copy", null)), output));
    const update = (tally) => {
      summary.update(tally);
      sliders.forEach((one) => one.update(tally));
      output.textContent = yaml(state.model, state.edges, state.model.total);
      reset.disabled = state.edges.every((edge, i) => edge === state.model.tests[i].edge);
    };
    state.onChange(update);
    update(state.tally());
  }

  function summaryOf(report, state, actions) {
    const undecided = state.model.undecided;
    const before = report.subset ? state.model.kept : null;
    const kept = h("output", {class: "big", id: "kept"});
    const note = h("span", {class: "note"});
    const bar = h("div", {class: "stack", "aria-hidden": "true"});
    const reasons = h("tbody", {});
    const rest = Object.entries(undecided).filter(([, n]) => n > 0)
      .map(([name, n]) => `${count(n)} ${name === "duplicate_uid" ? "repeated uids" : name}`);
    let timer = 0;
    const announce = (tally) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        byId("announcer").textContent = `${count(tally.kept)} kept, ${count(tally.total - tally.kept)} dropped`;
      }, QUIET);
    };
    let first = true;
    const update = (tally) => {
      const dropped = tally.total - tally.kept;
      kept.textContent = count(tally.kept);
      const change = tally.kept - before;
      note.textContent = `kept of ${plural(tally.total, "scored sample")} (${share(tally.total ? tally.kept / tally.total : null)})`
        + (before === null ? "" : change === 0 ? "; as decided" : `; ${change > 0 ? "+" : "−"}${count(Math.abs(change))} against what was decided`);
      bar.replaceChildren(h("span", {class: "kept", "--part": tally.kept}), h("span", {class: "dropped", "--part": dropped}));
      reasons.replaceChildren(...tally.dropped.map(({reason, count: n}) => h("tr", {},
        h("th", {scope: "row"}, breakable(reason)), h("td", {class: "number"}, count(n)), h("td", {class: "number"}, share(n / tally.total)))),
      h("tr", {class: "sum"}, h("th", {scope: "row"}, "dropped in all"), h("td", {class: "number", id: "dropped"}, count(dropped)), h("td", {class: "number"}, share(tally.total ? dropped / tally.total : null))));
      if (!first) announce(tally);
      first = false;
    };
    const element = h("div", {class: "summary"},
      h("div", {class: "count"}, h("p", {}, kept, note), bar,
        rest.length ? h("p", {class: "note"}, `Besides: ${rest.join(" and ")}, which no rule decides.`) : null,
        h("div", {class: "actions"}, actions)),
      h("div", {class: "scroll reasons", tabindex: "0", role: "region", "aria-label": "Dropped by reason"}, h("table", {}, h("caption", {class: "hidden"}, "Dropped by reason"),
        h("thead", {}, h("tr", {}, h("th", {scope: "col"}, "Dropped by"), h("th", {scope: "col", class: "number"}, "Samples"), h("th", {scope: "col", class: "number"}, "Share"))), reasons)));
    return {element, update};
  }

  function slider(test, report, state, context) {
    const column = state.model.columns[test.column];
    const described = report.columns.find(({name}) => name === column.name) ?? {label: column.name, unit: ""};
    const places = stops(test, column);
    const ids = ["value", "range", "title"].reduce((all, name) => ({...all, [name]: `test-${test.id}-${name}`}), {});
    const range = h("input", {type: "range", id: ids.range, min: 0, max: places.length - 1, step: 1,
      "aria-labelledby": ids.title, "aria-describedby": ids.value,
      oninput: () => state.move(test.id, places[Number(range.value)])});
    const value = h("p", {class: "value", id: ids.value});
    const effect = h("p", {class: "note"});
    const code = h("code", {class: "line"});
    const strip = h("div", {class: "strip"});
    let drawn = null;
    if (described.linear || described.log) {
      queueMicrotask(() => Curate.charts.responsive(strip, (width) => {
        drawn = Curate.charts.strip(described, test.keep, width);
        drawn.move(edgeValue(column, state.edges[test.id]));
        return drawn;
      }));
    }
    const step = (by) => {
      range.value = String(Number(range.value) + by);
      range.dispatchEvent(new Event("input"));
    };
    const nudge = (by, sign, words) => h("button", {type: "button", class: "nudge", "aria-label": `${words}: ${described.label}`, onclick: () => step(by)}, sign);
    const near = nearOf(test, column, described, report, state, context);
    const words = (edge) => {
      const at = column.edges[edge];
      const side = test.keep === "at_least" ? "below" : "above";
      if (!at) return keepsAll(test, edge) ? "no threshold: drops nothing" : "drops everything";
      const part = test.keep === "at_least" ? at.share : 1 - at.share;
      if (at.value === null) return `${edgeValue(column, edge) < 0 ? "among missing values" : "above every value"}, ${share(part)} of the pool ${side}`;
      return `${number(at.value)}${described.unit ? ` ${described.unit}` : ""}, ${share(part)} of the pool ${side}`;
    };
    const update = (tally) => {
      const edge = state.edges[test.id];
      const at = column.edges[edge];
      if (places[Number(range.value)] !== edge) range.value = String(places.indexOf(edge));
      range.setAttribute("aria-valuetext", words(edge));
      value.replaceChildren(...(at
        ? [h("strong", {}, number(at.value)), ` ${described.unit ?? ""}`, h("span", {class: "note"}, words(edge).slice(words(edge).indexOf(",") + 2))]
        : [h("strong", {}, keepsAll(test, edge) ? "no threshold" : "nothing passes")]));
      effect.textContent = `${plural(failing(test, column, edge, tally.total), "sample")} fail this test, ${count(tally.only[test.id])} of them only this one`;
      code.textContent = line(test, column, edge, tally.total) ?? "not in the rules";
      card.classList.toggle("moved", edge !== test.edge);
      drawn?.move(edgeValue(column, edge));
      near.update();
    };
    const card = h("div", {class: "panel slider", role: "group", "aria-labelledby": ids.title},
      h("div", {class: "heading"}, h("h3", {id: ids.title}, described.label, h("small", {}, test.keep === "at_least" ? " at least" : " at most")),
        test.active ? null : h("span", {class: "tag"}, "not in the rules yet")),
      strip, h("div", {class: "track"}, nudge(-1, "−", "One step down"), range, nudge(1, "+", "One step up")),
      value, effect, h("p", {class: "line-of"}, code), near.element);
    return {element: card, update};
  }

  const keepsAll = (test, edge) => (edge < 0) === (test.keep === "at_least");

  /** Where the cut lies on the axis of values; beyond it where nothing or everything passes. */
  function edgeValue(column, edge) {
    if (edge < 0) return -Infinity;
    const at = column.edges[edge];
    if (!at) return Infinity;
    return at.value ?? (at.below <= column.missing ? -Infinity : Infinity); // JSON has no infinity
  }

  /** Samples that fail one test, missing values included. */
  function failing(test, column, edge, total) {
    const below = edge < 0 ? 0 : column.edges[edge]?.below ?? total;
    return test.keep === "at_least" ? below : total - below + (edge < 0 ? 0 : column.missing);
  }

  function nearOf(test, column, described, report, state, context) {
    const intervals = report.near[column.name] ?? [];
    const places = {below: h("div", {}), above: h("div", {})};
    const shown = state.model.columns.map(({name}) => context.columns.find((one) => one.name === name)).filter(Boolean);
    let drawnAt = null;
    let lists = [];
    const draw = () => {
      const edge = state.edges[test.id];
      if (edge === drawnAt) {
        lists.forEach((one) => one.update());
        return;
      }
      drawnAt = edge;
      const found = Curate.galleries.nearCut(intervals, edge, 2 * NEAR);
      lists = Object.entries(places).map(([side, place]) => {
        const entries = Curate.galleries.collapse(found[side], report.samples).slice(0, NEAR);
        if (side === "below") entries.reverse(); // ascending by value on both sides of the cut
        const list = Curate.cards.list(entries, {...context, shown}, `Just ${side} the cut of ${described.label}`);
        place.replaceChildren(entries.length ? list.element : h("p", {class: "note"}, "No sample lies there."));
        return list;
      });
    };
    let waiting = 0;
    const update = () => {
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(draw); // the counts come first
    };
    const element = h("div", {class: "near"},
      h("div", {class: "side"}, h("h4", {}, "Just below the cut"), places.below),
      h("div", {class: "side"}, h("h4", {}, "Just above the cut"), places.above));
    return {element, update};
  }

  return Object.freeze({render});
})();
