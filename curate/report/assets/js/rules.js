"use strict";
// The tree of tests and the reasons it gives: the same as curate's own `decide`. Pure.
window.Curate ??= {};

Curate.rules = (() => {
  const children = (node) => node.all ?? node.any;

  /** In how many ways a node can fail: what `evaluate` numbers from 1. */
  function ways(node) {
    if ("test" in node) return 1;
    return "all" in node
      ? node.all.reduce((sum, child) => sum + ways(child), 0)
      : node.any.reduce((product, child) => product * ways(child), 1);
  }

  /** The reasons of failing, in the order that `evaluate` numbers them. */
  function failures(node, nameOf) {
    if ("test" in node) return [nameOf(node.test)];
    const names = children(node).map((child) => failures(child, nameOf));
    if ("all" in node) return names.flat();
    return names.reduce((before, own) =>
      before.flatMap((first) => own.map((second) => `${first} and ${second}`)),
    );
  }

  /**
   * 0 if kept, else the number of the way in which it fails.
   * `all`: the first child that fails, in the order written. `any`: when all fail, theirs joined.
   */
  function evaluate(node, passed) {
    if ("test" in node) return passed[node.test] ? 0 : 1;
    let offset = 0;
    if ("all" in node) {
      for (const child of node.all) {
        const way = evaluate(child, passed);
        if (way > 0) return way + offset;
        offset += ways(child);
      }
      return 0;
    }
    for (const child of node.any) {
      const way = evaluate(child, passed);
      if (way === 0) return 0;
      offset = offset * ways(child) + way - 1;
    }
    return offset + 1;
  }

  const testsOf = (node) => ("test" in node ? [node.test] : children(node).flatMap(testsOf));

  /** Tests that may pass in place of one: those of the other branches of the innermost `any`. */
  function alternatives(node, test) {
    if ("test" in node) return [];
    const own = children(node).find((child) => testsOf(child).includes(test));
    if (!own) return [];
    const inner = alternatives(own, test);
    if (inner.length || "all" in node) return inner;
    return node.any.filter((child) => child !== own).flatMap(testsOf);
  }

  /** Does a digit pass a test whose cut is at this edge of its column? */
  function passes(test, edge, intervals, digit) {
    const interval = digit % intervals;
    if (test.keep === "at_least") return interval > edge;
    return interval <= edge && digit < intervals;
  }

  return Object.freeze({ways, failures, evaluate, alternatives, passes});
})();
