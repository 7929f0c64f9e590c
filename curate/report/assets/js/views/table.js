"use strict";
// A table with sortable heads and pages.
window.Curate ??= {};

Curate.tableView = (() => {
  const {h} = Curate.dom;
  const {count} = Curate.format;
  const {sort, page} = Curate.tables;

  /**
   * Draw rows. `columns`: {head, value(row), cell(row), number}; the first names the row.
   * Returns {element, show(rows)}.
   */
  function create(caption, columns, {size = 100, sorted = null, mark = () => null} = {}) {
    let rows = [];
    let order = sorted;
    let at = 0;
    const heads = columns.map((column, i) => {
      const button = h(
        "button",
        {
          type: "button",
          onclick: () => {
            order = {by: i, descending: order?.by === i ? !order.descending : Boolean(column.number)};
            at = 0;
            draw();
          },
        },
        column.head,
        h("span", {class: "arrow", "aria-hidden": "true"}),
      );
      return h("th", {scope: "col", class: column.number ? "number" : null}, button);
    });
    const body = h("tbody", {});
    const pager = h("nav", {class: "pager", "aria-label": `Pages of ${caption}`});
    const draw = () => {
      heads.forEach((head, i) => {
        if (order?.by === i) head.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      const all = order ? sort(rows, columns[order.by].value, order.descending) : rows;
      const shown = page(all, at, size);
      at = shown.at;
      body.replaceChildren(
        ...shown.rows.map((row) =>
          h(
            "tr",
            {class: mark(row)},
            columns.map((column, i) =>
              h(
                i ? "td" : "th",
                {scope: i ? null : "row", class: column.number ? "number" : null},
                column.cell(row),
              ),
            ),
          ),
        ),
      );
      const turn = (to, text) =>
        h(
          "button",
          {
            type: "button",
            disabled: to < 0 || to >= shown.pages,
            onclick: () => {
              at = to;
              draw();
            },
          },
          text,
        );
      pager.hidden = shown.pages < 2;
      pager.replaceChildren(
        turn(at - 1, "Previous"),
        h("span", {role: "status"}, `Page ${count(at + 1)} of ${count(shown.pages)}`),
        turn(at + 1, "Next"),
      );
    };
    const element = h(
      "div",
      {},
      h(
        "div",
        {class: "scroll", tabindex: "0", role: "region", "aria-label": caption},
        h(
          "table",
          {class: "sortable"},
          h("caption", {class: "hidden"}, caption),
          h("thead", {}, h("tr", {}, heads)),
          body,
        ),
      ),
      pager,
    );
    const show = (next) => {
      rows = next;
      at = 0;
      draw();
    };
    return {element, show};
  }

  return Object.freeze({create});
})();
