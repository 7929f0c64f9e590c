"use strict";
// The payload, through one state, into the sections.
(() => {
  const {byId, segments} = Curate.dom;
  const report = window.CURATE_REPORT;

  /**
   * Where the sliders stand, and what that keeps; the one thing on the page that changes.
   * Without a model (the run has no rules) samples stand as they were decided, and nothing moves.
   */
  function createState(model) {
    const listeners = [];
    const state = {model, edges: model ? Curate.explorer.current(model) : []};
    state.decide = (sample) =>
      model ? Curate.explorer.decide(model, state.edges, sample.digits) : asDecided(sample);
    const changed = () => {
      const tally = state.tally();
      listeners.forEach((listener) => listener(tally));
    };
    state.tally = () => Curate.explorer.tally(model, state.edges);
    state.onChange = (listener) => listeners.push(listener);
    state.move = (test, edge) => {
      state.edges[test] = edge;
      changed();
    };
    state.reset = () => {
      state.edges = Curate.explorer.current(model);
      changed();
    };
    return state;
  }

  function asDecided({status, reason}) {
    return status !== "ok" || reason === null ? null : {kept: reason === "kept", reason};
  }

  function themeSwitch() {
    const choose = (theme) => {
      if (theme === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = theme;
    };
    byId("theme").append(
      segments(
        "Colours",
        [
          ["auto", "Auto"],
          ["light", "Light"],
          ["dark", "Dark"],
        ],
        "auto",
        choose,
      ),
    );
  }

  /** Load the cells once the first sections are on the screen: scripts may, `fetch` may not, read files. */
  function loadCells() {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = "data/cells.js";
      script.addEventListener("load", () => resolve(window.CURATE_CELLS));
      script.addEventListener("error", () => reject(new Error("data/cells.js could not be read")));
      requestAnimationFrame(() => setTimeout(() => document.head.append(script)));
    });
  }

  async function explorable() {
    const cells = Curate.cells.decode(await loadCells(), report.explorer.columns);
    return createState(Curate.explorer.create(report.explorer, cells));
  }

  async function start() {
    document.title = `${report.run.name} · curate report`;
    byId("run-name").textContent = report.run.name;
    byId("colophon").textContent =
      `Written by curate ${report.run.version}. Charts: Observable Plot and D3, ISC licence.`;
    themeSwitch();
    Curate.overview.render(byId("overview"), report);
    Curate.distributions.render(byId("distributions"), report);
    Curate.correlations.render(byId("correlations"), report);
    Curate.sweepView.render(byId("sweep"), report);
    Curate.shardsView.render(byId("shards"), report);
    const state = report.explorer === null ? createState(null) : await explorable();
    const context = {report, columns: report.columns, decide: state.decide};
    if (!state.model?.tests.length) Curate.dom.leaveOut(byId("explorer"));
    else Curate.explorerView.render(byId("explorer"), report, state, context);
    Curate.galleryView.render(byId("galleries"), report, state, context);
    Curate.densities.render(byId("densities"), report, state);
    document.documentElement.dataset.ready = "";
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  }

  start().catch((error) => {
    const notice = document.createElement("p");
    notice.className = "notice";
    notice.setAttribute("role", "alert");
    notice.textContent = `The report could not be shown: ${error.message}. Is the folder whole? It needs data/ and assets/ beside index.html.`;
    byId("main").prepend(notice);
    throw error;
  });
})();
