"use strict";
// Numbers as the page, YAML and Python write them. Pure.
window.Curate ??= {};

Curate.format = (() => {
  const NONE = "–";
  const counts = new Intl.NumberFormat("en-US", {maximumFractionDigits: 0});

  function count(n) {
    return n === null || n === undefined ? NONE : counts.format(n);
  }

  /** Four significant digits. */
  function number(x) {
    if (x === null || x === undefined) return NONE;
    if (x === 0) return "0";
    const size = Math.abs(x);
    if (size < 1e-4 || size >= 1e7) return x.toExponential(2).replace("-", "−").replace("e−", "e-");
    const digits = Math.max(0, 3 - Math.floor(Math.log10(size)));
    const text = Number.isInteger(x) && size < 1e7 ? counts.format(x) : x.toFixed(Math.min(digits, 7));
    return text.replace(/^-/, "−");
  }

  /** As on an axis: no zeros that say nothing. */
  function tick(x) {
    return number(x)
      .replace(/(\.\d*?)0+$/, "$1")
      .replace(/\.$/, "");
  }

  /** A share of 1 in per cent: never 0 % or 100 % for what is only near it. */
  function share(x) {
    if (x === null || x === undefined || Number.isNaN(x)) return NONE;
    if (x === 0) return "0 %";
    if (x === 1) return "100 %";
    const percent = 100 * x;
    if (percent < 0.01) return "< 0.01 %";
    if (percent >= 99.995) return "> 99.99 %";
    const decimals = percent < 1 || percent >= 99 ? 2 : 1;
    return `${percent.toFixed(decimals)} %`;
  }

  function plural(n, noun) {
    return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
  }

  /** A float as Python's `f"{x:.15g}"`, in which the reasons of decisions are written. */
  function general(x) {
    const [mantissa, exponent] = x.toExponential(14).split("e");
    const power = Number(exponent);
    const trim = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
    if (power < -4 || power >= 15) {
      const digits = String(Math.abs(power)).padStart(2, "0");
      return `${trim(mantissa)}e${power < 0 ? "-" : "+"}${digits}`;
    }
    return trim(x.toFixed(Math.max(0, 14 - power)));
  }

  /** A float that YAML 1.1 reads as a number: an exponent needs a point and a sign there. */
  function yamlFloat(x) {
    const text = String(x);
    if (!text.includes("e")) return text;
    const [mantissa, exponent] = text.split("e");
    const point = mantissa.includes(".") ? mantissa : `${mantissa}.0`;
    return `${point}e${exponent.startsWith("-") ? exponent : `+${exponent.replace("+", "")}`}`;
  }

  /** The shortest decimal that rounds to the same value of a precision. */
  function shortest(x, precision) {
    if (precision !== "float32") return x;
    for (let digits = 1; digits < 10; digits++) {
      const candidate = Number(x.toPrecision(digits));
      if (Math.fround(candidate) === Math.fround(x)) return candidate;
    }
    return x;
  }

  /** The shortest decimal f with floor(n f) = k, as text; 0 <= k <= n. */
  function fraction(k, n) {
    if (k === 0 || n === 0) return "0";
    if (k === n) return "1";
    for (let decimals = 1; decimals < 17; decimals++) {
      const scale = 10n ** BigInt(decimals);
      const total = BigInt(n);
      const digits = (BigInt(k) * scale + total - 1n) / total; // rounded up: floor(n f) >= k
      if ((digits * total) / scale === BigInt(k) && digits < scale) {
        return `0.${digits.toString().padStart(decimals, "0")}`;
      }
    }
    throw new Error(`no decimal fraction means ${k} of ${n}`);
  }

  /** Words of a command that a POSIX shell takes apart again as they were. */
  function shellWord(text) {
    return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
  }

  return Object.freeze({
    NONE,
    count,
    number,
    tick,
    share,
    plural,
    general,
    yamlFloat,
    shortest,
    fraction,
    shellWord,
  });
})();
