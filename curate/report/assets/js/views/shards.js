"use strict";
// Counts of every shard; those far from the others are marked.
window.Curate ??= {};

Curate.shardsView = (() => {
  const {h} = Curate.dom;
  const {count, share, plural} = Curate.format;

  function render(section, report) {
    const {rows, total, shown} = report.shards;
    const outliers = rows.filter(({outlier}) => outlier !== null);
    section.querySelector(".about").textContent =
      `${plural(total, "shard")}${shown < total ? `, of which ${count(shown)} are listed, all outliers among them` : ""}. ` +
      (outliers.length
        ? `${plural(outliers.length, "outlier")}: shards whose shares differ from the others' by more than chance.`
        : "None differs from the others by more than chance.");
    const rate = (row) => (row.read && row.dropped !== null ? row.dropped / row.read : null);
    const table = Curate.tableView.create(
      "Counts of shards",
      [
        {head: "Shard", value: (row) => row.id, cell: (row) => h("span", {class: "code"}, row.id)},
        {head: "Read", number: true, value: (row) => row.read, cell: (row) => count(row.read)},
        {head: "Kept", number: true, value: (row) => row.kept, cell: (row) => count(row.kept)},
        {head: "Dropped", number: true, value: (row) => row.dropped, cell: (row) => count(row.dropped)},
        {
          head: "Drop rate",
          number: true,
          value: rate,
          cell: (row) => h("span", {class: "meter", "--part": rate(row) ?? 0}, share(rate(row))),
        },
        {head: "Rejected", number: true, value: (row) => row.rejected, cell: (row) => count(row.rejected)},
        {
          head: "Outlier",
          value: (row) => row.outlier,
          cell: (row) => (row.outlier === null ? "" : h("span", {class: "outlier"}, row.outlier)),
        },
      ],
      {size: 50, mark: ({outlier}) => (outlier === null ? null : "marked")},
    );
    const wanted = {words: "", outliers: false};
    const status = h("span", {class: "note", role: "status"});
    const apply = () => {
      const found = rows.filter(
        (row) => (!wanted.outliers || row.outlier !== null) && row.id.toLowerCase().includes(wanted.words),
      );
      status.textContent =
        found.length === rows.length ? "" : `${count(found.length)} of ${count(rows.length)} match`;
      table.show(found);
    };
    const words = h("input", {
      type: "search",
      oninput: () => {
        wanted.words = words.value.trim().toLowerCase();
        apply();
      },
    });
    const only = h("input", {
      type: "checkbox",
      onchange: () => {
        wanted.outliers = only.checked;
        apply();
      },
    });
    section
      .querySelector(".body")
      .append(
        h(
          "div",
          {class: "filters", role: "group", "aria-label": "Filter shards"},
          h("label", {}, "Name has", words),
          h("label", {class: "check"}, only, "outliers only"),
          status,
        ),
        table.element,
      );
    apply();
  }

  return Object.freeze({render});
})();
