"use strict";
// Sorting and paging of rows. Pure.
window.Curate ??= {};

Curate.tables = (() => {
  const collator = new Intl.Collator("en", {numeric: true});

  /** Rows by one value, stable; what has none comes last whatever the direction. */
  function sort(rows, valueOf, descending) {
    const sign = descending ? -1 : 1;
    const absent = (value) => value === null || value === undefined || Number.isNaN(value);
    return rows
      .map((row) => [row, valueOf(row)])
      .sort(([, a], [, b]) => {
        if (absent(a) || absent(b)) return Number(absent(a)) - Number(absent(b));
        return sign * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
      })
      .map(([row]) => row);
  }

  function page(rows, number, size) {
    const pages = Math.max(1, Math.ceil(rows.length / size));
    const at = Math.min(Math.max(0, number), pages - 1);
    return {rows: rows.slice(at * size, (at + 1) * size), at, pages};
  }

  return Object.freeze({sort, page});
})();
