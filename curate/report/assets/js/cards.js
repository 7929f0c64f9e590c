"use strict";
// A sample as a card, and all of it in a dialog.
window.Curate ??= {};

Curate.cards = (() => {
  const {h, byId, foreign, copy} = Curate.dom;
  const {number, share, count, shellWord} = Curate.format;

  function picture(sample) {
    if (!sample.thumb)
      return h("div", {class: "picture none"}, h("span", {}, sample.thumb_note ?? "no picture"));
    const image = h("img", {
      src: sample.thumb,
      alt: sample.thumb_alt ?? `Picture of sample ${sample.key}`,
      loading: "lazy",
      decoding: "async",
    });
    const frame = h("div", {class: "picture"}, image);
    image.addEventListener("error", () => {
      frame.classList.add("none");
      frame.replaceChildren(h("span", {}, "the thumbnail is missing from this folder"));
    });
    return frame;
  }

  function caption(sample, className) {
    if (sample.caption === null || sample.caption === "")
      return h("p", {class: `${className} absent`}, "no caption");
    const text = foreign("p", sample.caption_cut ? `${sample.caption}…` : sample.caption, className);
    return text;
  }

  /** What becomes of it, as a label with a word: colour alone says nothing. */
  function verdict(decision, sample) {
    if (decision === null)
      return h("span", {class: "verdict rejected"}, sample.status === "ok" ? "not decided" : "rejected");
    return decision.kept
      ? h("span", {class: "verdict kept"}, "kept")
      : h("span", {class: "verdict dropped", title: decision.reason}, "dropped");
  }

  function scoreList(sample, columns) {
    const rows = columns.filter(
      ({name}) => sample.values[name] !== undefined && sample.values[name] !== null,
    );
    return h(
      "dl",
      {class: "scores"},
      rows.map(({name, label}) =>
        h(
          "div",
          {},
          h("dt", {}, label),
          h("dd", {}, number(sample.values[name])),
          h(
            "dd",
            {class: "below", title: "share of the pool below"},
            share(sample.percentiles[name] ?? null),
          ),
        ),
      ),
    );
  }

  /**
   * A card: {element, update()}. `context`: {report, columns, shown, decide}: the columns of the
   * dialog, those of the card (all scores unless given), and `decide(sample)`, what becomes of it
   * under the sliders.
   */
  function card(entry, context) {
    const sample = context.report.samples[entry.sample];
    const scores = context.shown ?? context.columns.filter(({kind}) => kind === "score");
    const label = h("span", {class: "label"}, verdict(context.decide(sample), sample));
    const element = h(
      "li",
      {class: "card", "data-sample": sample.id},
      h(
        "div",
        {class: "top"},
        picture(sample),
        label,
        entry.copies > 1
          ? h(
              "span",
              {class: "copies", title: `${count(entry.copies)} samples look the same`},
              `× ${count(entry.copies)}`,
            )
          : null,
      ),
      caption(sample, "caption"),
      sample.status === "ok"
        ? scoreList(sample, scores)
        : h(
            "p",
            {class: "error"},
            sample.reason,
            sample.error ? h("span", {dir: "auto"}, `: ${sample.error}`) : null,
          ),
      h(
        "div",
        {class: "foot"},
        h(
          "span",
          {class: "key", title: `shard ${sample.shard}, key ${sample.key}`},
          `${sample.shard}/${sample.key}`,
        ),
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            "aria-label": `Details of ${sample.key}`,
            onclick: () => show(sample, context),
          },
          "Details",
        ),
      ),
    );
    const update = () => label.replaceChildren(verdict(context.decide(sample), sample));
    return {element, update};
  }

  /** Cards as a list; `update()` judges all of them again. */
  function list(entries, context, label) {
    const cards = entries.map((entry) => card(entry, context));
    const element = h(
      "ul",
      {class: "cards", "aria-label": label},
      cards.map(({element: item}) => item),
    );
    return {element, update: () => cards.forEach(({update}) => update())};
  }

  function decided({status, reason}) {
    if (reason === null) return Curate.format.NONE;
    return status === "ok" && !["kept", "undecided"].includes(reason) ? `dropped: ${reason}` : reason;
  }

  function show(sample, context) {
    const dialog = byId("sample");
    const decision = context.decide(sample);
    const command = `curate explain ${shellWord(context.report.run.directory)} ${sample.key.startsWith("-") ? "-- " : ""}${shellWord(sample.key)}`;
    const code = h("code", {}, command);
    const button = h("button", {type: "button", onclick: () => copy(command, button, code)}, "Copy");
    const fact = (term, ...value) => h("div", {}, h("dt", {}, term), h("dd", {}, value));
    dialog.replaceChildren(
      h(
        "div",
        {class: "dialog-head"},
        h("h2", {id: "sample-title"}, `Sample ${sample.key}`),
        h("button", {type: "button", class: "quiet", onclick: () => dialog.close()}, "Close"),
      ),
      h(
        "div",
        {class: "dialog-body"},
        h(
          "div",
          {class: "split"},
          picture(sample),
          h(
            "div",
            {},
            caption(sample, "whole"),
            h(
              "dl",
              {class: "facts"},
              fact("Shard", sample.shard),
              fact("uid", h("span", {class: "code"}, sample.uid ?? "–")),
              fact(
                "As decided",
                decided(sample),
                sample.error ? h("span", {dir: "auto"}, ` (${sample.error})`) : null,
              ),
              fact(
                "Under the sliders",
                decision === null
                  ? "no rule decides it"
                  : decision.kept
                    ? "kept"
                    : `dropped: ${decision.reason}`,
              ),
            ),
          ),
        ),
        h(
          "div",
          {class: "scroll", tabindex: "0", role: "region", "aria-label": "All scores of this sample"},
          h(
            "table",
            {},
            h("caption", {class: "hidden"}, "Scores of this sample"),
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ["Score", "Value", "Pool below"].map((head, i) =>
                  h("th", {scope: "col", class: i ? "number" : null}, head),
                ),
              ),
            ),
            h(
              "tbody",
              {},
              context.columns.map(({name, label, unit}) =>
                h(
                  "tr",
                  {},
                  h("th", {scope: "row"}, label),
                  h(
                    "td",
                    {class: "number"},
                    sample.values[name] === undefined ? "–" : number(sample.values[name]),
                    unit && sample.values[name] != null ? ` ${unit}` : "",
                  ),
                  h("td", {class: "number"}, share(sample.percentiles[name] ?? null)),
                ),
              ),
            ),
          ),
        ),
        h("p", {}, "Why it was decided so, and the texts and images of the Reference nearest to it:"),
        h("div", {class: "command"}, h("pre", {tabindex: "0"}, code), button),
      ),
    );
    dialog.showModal();
  }

  return Object.freeze({list, show});
})();
