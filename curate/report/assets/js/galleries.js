"use strict";
// Which samples a gallery shows. Pure.
window.Curate ??= {};

Curate.galleries = (() => {
  /**
   * The samples nearest to a cut of one column: `below` and `above`, both nearest first, at most n.
   *
   * Intervals hold their lowest and their highest samples; where the nearest interval has too few,
   * the next one helps out.
   */
  function nearCut(intervals, edge, n) {
    const below = [];
    for (let k = Math.min(edge, intervals.length - 1); k >= 0 && below.length < n; k--) {
      below.push(...nearest([...intervals[k]].reverse(), n));
    }
    const above = [];
    for (let k = Math.max(0, edge + 1); k < intervals.length && above.length < n; k++) {
      above.push(...nearest(intervals[k], n));
    }
    return {below: below.slice(0, n), above: above.slice(0, n)};
  }

  /** The near half of an interval's samples: the other half lies at its far edge. */
  function nearest(ids, n) {
    return ids.slice(0, Math.min(n, Math.max(Math.ceil(ids.length / 2), 3)));
  }

  /** One entry for samples that show the same picture, with how many do. */
  function collapse(ids, samples) {
    const seen = new Map();
    for (const id of ids) {
      const look = samples[id].look ?? `sample ${id}`;
      const entry = seen.get(look);
      if (entry) entry.copies += 1;
      else seen.set(look, {sample: id, copies: 1});
    }
    return [...seen.values()];
  }

  /** Entries whose value in a column lies within bounds (null: none), and whose text has a word. */
  function filter(entries, samples, {column = null, low = null, high = null, words = ""}) {
    const wanted = words.trim().toLowerCase();
    return entries.filter(({sample: id}) => {
      const sample = samples[id];
      if (wanted && !`${sample.caption ?? ""} ${sample.key} ${sample.shard}`.toLowerCase().includes(wanted)) {
        return false;
      }
      if (column === null || (low === null && high === null)) return true;
      const value = sample.values[column];
      if (value === null || value === undefined) return false;
      return (low === null || value >= low) && (high === null || value <= high);
    });
  }

  return Object.freeze({nearCut, collapse, filter});
})();
