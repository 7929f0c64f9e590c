"use strict";
// Where a slider may stop, what that is in the rules' own terms, and the rules as YAML. Pure.
window.Curate ??= {};

Curate.criteria = (() => {
  const {fraction, general, shortest, yamlFloat} = Curate.format;
  const LARGEST = {float32: 3.4028234663852886e38, float64: Number.MAX_VALUE};

  /** The largest float of a precision below x. */
  function floatBelow(x, precision) {
    const [floats, bits, one] =
      precision === "float32"
        ? [new Float32Array(1), Int32Array, 1]
        : [new Float64Array(1), BigInt64Array, 1n];
    floats[0] = x;
    const whole = new bits(floats.buffer);
    if (floats[0] === 0) {
      whole[0] = one;
      return -floats[0];
    }
    whole[0] += floats[0] > 0 ? -one : one;
    return floats[0];
  }

  /**
   * The edges that a test's slider stops at, ascending. One that parts ties by uid can be written
   * as a fraction of the pool only, which `at_most` has no word for.
   */
  function stops(test, column) {
    const edges = column.edges.map((_, edge) => edge);
    if (test.keep === "at_least") return [-1, ...edges, column.edges.length];
    const whole = edges.filter((edge) => edge === test.edge || !column.edges[edge].splits);
    return [...whole, column.edges.length];
  }

  /** The criterion of a test at an edge, as name and text of its number; null where it has none. */
  function written(test, column, edge, total) {
    const moved = edge !== test.edge;
    if (!moved) return Object.keys(test.criteria).length ? {...test.criteria} : null;
    const at = column.edges[edge];
    const finite = at && at.value !== null;
    if (test.keep === "at_most") {
      const value = finite ? floatBelow(at.value, column.precision) : LARGEST[column.precision];
      return {max: number(value, column.precision)};
    }
    if (test.criterion === "min" && finite && !at.splits) {
      return {min: number(at.value, column.precision)};
    }
    const below = edge < 0 ? 0 : at ? at.below : total;
    return test.criterion === "keep_highest"
      ? {keep_highest: fraction(total - below, total)}
      : {drop_lowest: fraction(below, total)};
  }

  const number = (value, precision) => yamlFloat(shortest(value, precision));

  /** What a sample that fails there is told: for a test that was not moved, as it was decided. */
  function reason(test, column, edge, total) {
    if (edge === test.edge) return test.reason;
    const [[criterion, value]] = Object.entries(written(test, column, edge, total));
    return `${column.name}.${criterion}=${general(Number(value))}`;
  }

  const RESERVED = /^(y|n|yes|no|on|off|true|false|null|all|any)$/i;

  function key(name) {
    return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !RESERVED.test(name) ? name : JSON.stringify(name);
  }

  /** One criterion on one line: `image_informativeness: {drop_lowest: 0.05}`. */
  function line(test, column, edge, total) {
    const criteria = written(test, column, edge, total);
    if (criteria === null) return null;
    const fields = Object.entries(criteria).map(
      ([name, value]) => `${name}: ${typeof value === "number" ? yamlFloat(value) : value}`,
    );
    return `${key(column.name)}: {${fields.join(", ")}}`;
  }

  /** The rules at some edges, as the `rules` section of a configuration. */
  function yaml(explorer, edges, total) {
    const leaf = (id) => {
      const test = explorer.tests[id];
      return line(test, explorer.columns[test.column], edges[id], total);
    };
    const lines = ["rules:", "  all:"];
    const body = items(explorer.rules.all ?? [explorer.rules], "all", leaf, "    ");
    return [...lines.slice(0, 1), ...(body.length ? [lines[1], ...body] : ["  all: []"]), ""].join("\n");
  }

  function items(nodes, parent, leaf, indent) {
    return nodes.flatMap((node) => {
      if ("test" in node) {
        const text = leaf(node.test);
        return text === null ? [] : [`${indent}- ${text}`];
      }
      const kind = "all" in node ? "all" : "any";
      // An `all` within an `all` says the same without its own group.
      if (kind === "all" && parent === "all") return items(node.all, "all", leaf, indent);
      const inner = items(node[kind], kind, leaf, `${indent}    `);
      return inner.length ? [`${indent}- ${kind}:`, ...inner] : [`${indent}- ${kind}: []`];
    });
  }

  return Object.freeze({floatBelow, stops, written, reason, line, yaml});
})();
