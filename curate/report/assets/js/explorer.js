"use strict";
// Counts under moved thresholds, from the cells. Pure.
window.Curate ??= {};

Curate.explorer = (() => {
  const {evaluate, failures, passes} = Curate.rules;
  const {reason} = Curate.criteria;
  const BLOCK = 4096; // cells at a time, so that their combinations stay in the processor's cache

  /** The explorer's columns, tests and rules with the decoded cells. */
  function create(explorer, cells) {
    const testsOf = explorer.columns.map((_, c) => explorer.tests.filter((test) => test.column === c));
    return {...explorer, cells, total: cells.total, testsOf};
  }

  const current = (explorer) => explorer.tests.map((test) => test.edge);

  /**
   * Digits of a column that no test tells apart at these edges: the class of each digit, and which
   * of the column's tests a class passes.
   */
  function classesOf(tests, intervals, edges) {
    const known = new Map();
    const members = [];
    const classOf = new Int32Array(2 * intervals);
    for (let digit = 0; digit < classOf.length; digit++) {
      const passed = tests.map((test) => passes(test, edges[test.id], intervals, digit));
      const key = passed.join();
      if (!known.has(key)) {
        known.set(key, members.length);
        members.push(passed);
      }
      classOf[digit] = known.get(key);
    }
    return {classOf, members};
  }

  /** Samples in each combination of classes: one pass over the cells, then a handful of sums. */
  function combine(model, edges) {
    const used = model.columns.map((_, c) => c).filter((c) => model.testsOf[c].length);
    const columns = used.map((c) => {
      const {classOf, members} = classesOf(model.testsOf[c], model.columns[c].intervals, edges);
      return {tests: model.testsOf[c], digits: model.cells.digits[c], classOf, members};
    });
    const size = columns.reduce((product, {members}) => product * members.length, 1);
    const sums = new Float64Array(size);
    const {n, counts} = model.cells;
    const at = new Int32Array(BLOCK);
    for (let begin = 0; begin < n; begin += BLOCK) {
      const end = Math.min(n, begin + BLOCK);
      at.fill(0);
      for (const {digits, classOf, members} of columns) {
        const radix = members.length;
        for (let i = begin; i < end; i++) at[i - begin] = at[i - begin] * radix + classOf[digits[i]];
      }
      for (let i = begin; i < end; i++) sums[at[i - begin]] += counts[i];
    }
    return {columns, sums};
  }

  /** Which tests a combination of classes passes, by test. */
  function passedBy(columns, combination) {
    const passed = [];
    for (let c = columns.length - 1; c >= 0; c--) {
      const {tests, members} = columns[c];
      const own = members[combination % members.length];
      tests.forEach((test, i) => {
        passed[test.id] = own[i];
      });
      combination = Math.floor(combination / members.length);
    }
    return passed;
  }

  /**
   * What the rules keep and drop at some edges.
   *
   * Returns kept and total; dropped: {reason, count} for every reason that has samples, in the order
   * of the rules; only: for each test the samples that nothing else drops.
   */
  function tally(model, edges) {
    const {columns, sums} = combine(model, edges);
    const nameOf = (id) => nameAt(model, id, edges[id]);
    const reasons = failures(model.rules, nameOf);
    const dropped = new Map(reasons.map((name) => [name, 0]));
    const only = new Array(model.tests.length).fill(0);
    let kept = 0;
    sums.forEach((count, combination) => {
      if (count === 0) return;
      const passed = passedBy(columns, combination);
      const way = evaluate(model.rules, passed);
      if (way === 0) {
        kept += count;
        return;
      }
      dropped.set(reasons[way - 1], dropped.get(reasons[way - 1]) + count);
      for (const test of model.tests) {
        if (passed[test.id]) continue;
        passed[test.id] = true;
        if (evaluate(model.rules, passed) === 0) only[test.id] += count;
        passed[test.id] = false;
      }
    });
    const present = [...dropped].filter(([, count]) => count > 0);
    return {kept, total: model.total, only, dropped: present.map(([name, count]) => ({reason: name, count}))};
  }

  /** What becomes of one sample: null where no rule decides it, else kept and the reason. */
  function decide(model, edges, digits) {
    if (digits === null) return null;
    const passed = model.tests.map((test) =>
      passes(test, edges[test.id], model.columns[test.column].intervals, digits[test.column]),
    );
    const way = evaluate(model.rules, passed);
    if (way === 0) return {kept: true, reason: "kept"};
    return {kept: false, reason: failures(model.rules, (id) => nameAt(model, id, edges[id]))[way - 1]};
  }

  function nameAt(model, id, edge) {
    const test = model.tests[id];
    return reason(test, model.columns[test.column], edge, model.total);
  }

  return Object.freeze({create, current, tally, decide});
})();
