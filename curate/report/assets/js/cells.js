"use strict";
// The binned joint histogram of the explorer's columns. Pure.
window.Curate ??= {};

Curate.cells = (() => {
  /** Decode n unsigned LEB128 numbers below 2^53 from base64. */
  function decodeNumbers(base64, n) {
    const bytes = atob(base64);
    const numbers = new Float64Array(n);
    let at = 0;
    for (let i = 0; i < n; i++) {
      let value = 0;
      let scale = 1;
      let byte;
      do {
        byte = bytes.charCodeAt(at++);
        value += (byte & 127) * scale;
        scale *= 128;
      } while (byte >= 128);
      numbers[i] = value;
    }
    if (at !== bytes.length) throw new Error(`cells: ${at} bytes were read of ${bytes.length}`);
    return numbers;
  }

  /**
   * Take cells apart: for each column a digit per cell (interval, plus `intervals` where the value
   * is missing), and the samples in each cell.
   */
  function decode(packed, columns) {
    if (packed.encoding !== "leb128") throw new Error(`cells: unknown encoding ${packed.encoding}`);
    const n = packed.n;
    const codes = decodeNumbers(packed.codes, n);
    for (let i = 1; i < n; i++) codes[i] += codes[i - 1];
    const digits = columns.map(() => new Uint16Array(n));
    for (let c = columns.length - 1; c >= 0; c--) {
      const radix = 2 * columns[c].intervals;
      const column = digits[c];
      for (let i = 0; i < n; i++) {
        const rest = Math.floor(codes[i] / radix);
        column[i] = codes[i] - rest * radix;
        codes[i] = rest;
      }
    }
    const counts = decodeNumbers(packed.counts, n);
    return {n, digits, counts, total: counts.reduce((sum, count) => sum + count, 0)};
  }

  return Object.freeze({decodeNumbers, decode});
})();
