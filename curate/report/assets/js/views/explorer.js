"use strict";
// What the rules keep while their thresholds move: counts, reasons, sliders, and the rules as YAML.
window.Curate ??= {};

Curate.explorerView = (() => {
  const {h, byId, breakable, copy} = Curate.dom;
  const {count, share, plural} = Curate.format;
  const QUIET = 600; // ms without movement before counts are announced

  /**
   * Draw the explorer. `state`: {model, edges, tally(), onChange(listener), move(test, edge),
   * reset()}; `context`: of cards.
   */
  function render(section, report, state, context) {
    const rules = rulesOf(state);
    const reset = h("button", {type: "button", onclick: () => state.reset()}, "Reset");
    const summary = summaryOf(report, state, [rules.copier("Copy rules", "primary"), reset]);
    const sliders = state.model.tests.map((test) => Curate.slider.create(test, report, state, context));
    section.querySelector(".body").append(
      summary.element,
      h(
        "div",
        {class: "sliders"},
        sliders.map(({element}) => element),
      ),
      rules.element,
    );
    const update = (tally) => {
      [summary, ...sliders, rules].forEach((part) => part.update(tally));
      reset.disabled = state.edges.every((edge, i) => edge === state.model.tests[i].edge);
    };
    state.onChange(update);
    update(state.tally());
    state.onChange(announcer());
  }

  /** Tells assistive technology the counts once the sliders rest. */
  function announcer() {
    let timer = 0;
    return (tally) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        byId("announcer").textContent =
          `${count(tally.kept)} kept, ${count(tally.total - tally.kept)} dropped`;
      }, QUIET);
    };
  }

  function rulesOf(state) {
    const output = h("pre", {
      class: "yaml",
      tabindex: "0",
      role: "region",
      "aria-label": "Rules at these thresholds",
    });
    const copier = (text, kind) => {
      const button = h(
        "button",
        {type: "button", class: kind, onclick: () => copy(output.textContent, button, output)},
        text,
      );
      return button;
    };
    const head = h("div", {class: "heading"}, h("h3", {}, "Rules at these thresholds"), copier("Copy", null));
    const update = () => {
      output.textContent = Curate.criteria.yaml(state.model, state.edges, state.model.total);
    };
    return {element: h("div", {class: "panel"}, head, output), copier, update};
  }

  function summaryOf(report, state, actions) {
    const kept = h("span", {class: "big", id: "kept"});
    const of = h("span", {class: "note"});
    const rest = h("p", {class: "note"});
    const bar = h("div", {class: "stack", "aria-hidden": "true"});
    const reasons = reasonTable();
    const besides = undecided(state.model);
    const update = (tally) => {
      const part = partOf(tally.total);
      const dropped = tally.total - tally.kept;
      kept.textContent = count(tally.kept);
      of.textContent = `kept of ${plural(tally.total, "scored sample")} (${part(tally.kept)})`;
      rest.textContent = `${count(dropped)} dropped (${part(dropped)})${report.subset ? change(tally.kept - state.model.kept) : ""}${besides}`;
      bar.replaceChildren(
        h("span", {class: "kept", "--part": tally.kept}),
        h("span", {class: "dropped", "--part": dropped}),
      );
      reasons.update(tally);
    };
    const counts = h(
      "div",
      {class: "count"},
      h("p", {}, kept, of),
      bar,
      rest,
      h("div", {class: "actions"}, actions),
    );
    return {element: h("div", {class: "summary"}, counts, reasons.element), update};
  }

  const partOf = (total) => (n) => share(total ? n / total : null);

  function change(more) {
    if (more === 0) return ", as decided";
    return `; ${count(Math.abs(more))} ${more > 0 ? "more" : "fewer"} kept than decided`;
  }

  function undecided(model) {
    const words = {duplicate_uid: "with repeated uids", rejected: "rejected"};
    const parts = Object.entries(model.undecided)
      .filter(([, n]) => n > 0)
      .map(([kind, n]) => `${count(n)} ${words[kind] ?? kind}`);
    return parts.length ? `. Besides: ${parts.join(" and ")}, which no rule decides` : "";
  }

  function reasonTable() {
    const body = h("tbody", {});
    const head = ["Dropped by", "Samples", "Share"].map((text, i) =>
      h("th", {scope: "col", class: i ? "number" : null}, text),
    );
    const table = h(
      "table",
      {},
      h("caption", {class: "hidden"}, "Dropped by reason"),
      h("thead", {}, h("tr", {}, head)),
      body,
    );
    const row = (kind, name, n, part) =>
      h(
        "tr",
        {class: kind},
        h("th", {scope: "row"}, breakable(name)),
        h("td", {class: "number"}, count(n)),
        h("td", {class: "number"}, part(n)),
      );
    const update = (tally) => {
      const part = partOf(tally.total);
      body.replaceChildren(
        ...tally.dropped.map(({reason, count: n}) => row(null, reason, n, part)),
        row("sum", "dropped in all", tally.total - tally.kept, part),
      );
    };
    const place = {class: "scroll reasons", tabindex: "0", role: "region", "aria-label": "Dropped by reason"};
    return {element: h("div", place, table), update};
  }

  return Object.freeze({render});
})();
