"use strict";
// Subsets of a sweep: sizes, thresholds, links, and how much they share.
window.Curate ??= {};

Curate.sweepView = (() => {
  const {h, breakable} = Curate.dom;
  const {count, share, number} = Curate.format;
  const MOST = 60; // subsets in the map of overlaps
  const FEW = 4; // tests that get columns of their own; of more, each subset lists its thresholds

  function render(section, report) {
    const {sweep} = report;
    if (sweep === null) {
      Curate.dom.leaveOut(section);
      return;
    }
    const table = Curate.tableView.create("Subsets of the sweep", columnsOf(sweep.subsets), {
      sorted: {by: 1, descending: true},
      mark: ({baseline}) => (baseline ? "baseline" : null),
    });
    table.show(sweep.subsets);
    section.querySelector(".body").append(table.element, overlaps(sweep));
  }

  function columnsOf(subsets) {
    const tests = [...new Set(subsets.flatMap(({thresholds}) => Object.keys(thresholds)))];
    return [
      {
        head: "Subset",
        value: (row) => row.name,
        cell: (row) => [
          h("span", {class: "code"}, row.name),
          row.baseline ? h("span", {class: "tag"}, "baseline") : null,
        ],
      },
      {head: "Kept", number: true, value: (row) => row.kept, cell: (row) => count(row.kept)},
      {
        head: "Share",
        number: true,
        value: (row) => row.kept_share,
        cell: (row) => h("span", {class: "meter", "--part": row.kept_share}, share(row.kept_share)),
      },
      ...(tests.length <= FEW
        ? tests.map((test) => ({
            head: test,
            number: true,
            value: (row) => row.thresholds[test] ?? null,
            cell: (row) => threshold(row.thresholds[test]),
          }))
        : []),
      {
        head: "Files",
        value: (row) => row.uids,
        cell: (row) => [
          row.uids
            ? h(
                "a",
                {href: row.uids, download: `${row.name}.uids.npy`, "aria-label": `uids.npy of ${row.name}`},
                "uids.npy",
              )
            : h("span", {class: "note"}, "not written"),
          h(
            "details",
            {class: "inline"},
            h("summary", {"aria-label": `Rules of ${row.name}`}, "rules"),
            h(
              "dl",
              {class: "thresholds"},
              Object.entries(row.thresholds).map(([test, value]) =>
                h("div", {}, h("dt", {}, breakable(test)), h("dd", {}, threshold(value))),
              ),
            ),
            h("pre", {tabindex: "0"}, row.rules_yaml),
          ),
        ],
      },
    ];
  }

  const threshold = (value) => (typeof value === "number" ? number(value) : (value ?? "–"));

  function overlaps(sweep) {
    const related = new Set(sweep.overlaps.flatMap(({a, b}) => [a, b]));
    if (related.size === 0) return "";
    const names = sweep.subsets.map(({name}) => name).filter((name) => related.has(name));
    const shared = new Map(
      sweep.overlaps.flatMap((one) => [
        [`${one.a}\n${one.b}`, one],
        [`${one.b}\n${one.a}`, one],
      ]),
    );
    const shown = names.slice(0, MOST);
    const table = Curate.tableView.create(
      "Overlaps of the subsets",
      [
        {head: "Subset", value: (row) => row.a, cell: (row) => h("span", {class: "code"}, row.a)},
        {head: "and", value: (row) => row.b, cell: (row) => h("span", {class: "code"}, row.b)},
        {
          head: "Kept by both",
          number: true,
          value: (row) => row.kept_both,
          cell: (row) => count(row.kept_both),
        },
        {
          head: "Jaccard",
          number: true,
          value: (row) => row.jaccard,
          cell: (row) => row.jaccard?.toFixed(3) ?? "–",
        },
      ],
      {size: 50, sorted: {by: 3, descending: true}},
    );
    table.show(sweep.overlaps);
    return h(
      "div",
      {class: "panel"},
      h("h3", {}, "Overlaps"),
      h(
        "p",
        {class: "about"},
        "Jaccard index of every two subsets, in hundredths.",
        names.length > MOST ? ` The first ${MOST} of ${count(names.length)}; the table below has all.` : "",
      ),
      h(
        "div",
        {class: "scroll", tabindex: "0", role: "region", "aria-label": "Map of overlaps"},
        h(
          "table",
          {class: "matrix dense"},
          h("caption", {class: "hidden"}, "Jaccard index of every two subsets, in hundredths"),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("td", {}),
              shown.map((name, i) => h("th", {scope: "col", title: name, "aria-label": name}, String(i + 1))),
            ),
          ),
          h(
            "tbody",
            {},
            shown.map((a, i) =>
              h(
                "tr",
                {},
                h("th", {scope: "row"}, `${i + 1} `, h("span", {class: "code"}, a)),
                shown.map((b) => {
                  const value = a === b ? 1 : (shared.get(`${a}\n${b}`)?.jaccard ?? null);
                  return value === null
                    ? h("td", {class: "shade none"}, "–")
                    : h(
                        "td",
                        {
                          class: `shade ${a === b ? "own" : "rising"}`,
                          "--strength": value.toFixed(3),
                          title: `${a} and ${b}`,
                        },
                        String(Math.round(100 * value)),
                      );
                }),
              ),
            ),
          ),
        ),
      ),
      h("details", {class: "data"}, h("summary", {}, "Overlaps as a table"), table.element),
    );
  }

  return Object.freeze({render});
})();
