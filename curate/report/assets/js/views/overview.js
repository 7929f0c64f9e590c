"use strict";
// What was run, whether its accounts balance, and what to be warned of.
window.Curate ??= {};

Curate.overview = (() => {
  const {h, breakable} = Curate.dom;
  const {count, share, number, plural} = Curate.format;

  function render(section, report) {
    const {run, accounts} = report;
    section.querySelector("h1").textContent = run.name;
    section
      .querySelector(".body")
      .append(
        h(
          "p",
          {class: "place"},
          run.directory,
          report.subset ? ` · subset ${report.subset.name}` : " · no subset was selected yet",
        ),
        tiles(accounts),
        ...warnings(report.warnings),
        h("div", {class: "columns"}, accountTable(accounts), facts(report)),
      );
  }

  const part = (n, of) => (n === null || !of ? Curate.format.NONE : share(n / of));

  const totals = (accounts) => ({
    dropped: accounts.dropped.reduce((sum, {count: n}) => sum + n, 0),
    rejected: accounts.rejected.reduce((sum, {count: n}) => sum + n, 0),
  });

  function tiles(accounts) {
    const {dropped, rejected} = totals(accounts);
    const tile = (name, n) =>
      h(
        "div",
        {class: `tile ${name}`},
        h("dt", {}, name),
        h("dd", {}, count(n)),
        h("dd", {class: "part"}, name === "read" ? "samples" : part(n, accounts.read)),
      );
    const piece = (name, n) => h("span", {class: name, "--part": n ?? 0});
    return h(
      "div",
      {},
      h(
        "dl",
        {class: "tiles"},
        tile("read", accounts.read),
        tile("kept", accounts.kept),
        tile("dropped", dropped),
        tile("rejected", rejected),
      ),
      h(
        "div",
        {class: "stack", "aria-hidden": "true"},
        piece("kept", accounts.kept),
        piece("dropped", dropped),
        piece("rejected", rejected),
      ),
    );
  }

  function warnings(texts) {
    if (texts.length === 0) return [];
    return [
      h(
        "div",
        {class: "warnings", role: "region", "aria-labelledby": "warnings-title"},
        h("h2", {id: "warnings-title"}, plural(texts.length, "warning")),
        h(
          "ul",
          {},
          texts.map((text) => h("li", {dir: "auto"}, text)),
        ),
      ),
    ];
  }

  function accountTable(accounts) {
    const {dropped, rejected} = totals(accounts);
    const row = (kind, text, n, note = null) =>
      h(
        "tr",
        {},
        h(
          "th",
          {scope: "row"},
          h("i", {class: `key ${kind}`}),
          breakable(text),
          note ? h("small", {}, note) : null,
        ),
        h("td", {class: "number"}, count(n)),
        h("td", {class: "number"}, part(n, accounts.read)),
      );
    const balance = `${count(accounts.kept)} kept + ${count(dropped)} dropped + ${count(rejected)} rejected = ${count(accounts.kept + dropped + rejected)}`;
    return h(
      "div",
      {class: "panel"},
      h("h2", {}, "Accounts"),
      h(
        "table",
        {class: "accounts"},
        h("caption", {class: "hidden"}, "What became of every sample read"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", {scope: "col"}, "Samples"),
            h("th", {scope: "col", class: "number"}, "Number"),
            h("th", {scope: "col", class: "number"}, "Share"),
          ),
        ),
        h(
          "tbody",
          {},
          row("kept", "kept", accounts.kept),
          accounts.dropped.map(({reason, count: n}) => row("dropped", `dropped: ${reason}`, n)),
          accounts.rejected.map(({reason, meaning, count: n}) =>
            row("rejected", `rejected: ${reason}`, n, meaning),
          ),
        ),
        h("tfoot", {}, row("read", "read", accounts.read)),
      ),
      accounts.kept === null
        ? h("p", {class: "balance"}, "No rules were applied yet: nothing is kept or dropped.")
        : accounts.balances
          ? h("p", {class: "balance good"}, `✓ Balances: ${balance}`)
          : h("p", {class: "balance bad"}, `✗ Does not balance: ${balance}, of ${count(accounts.read)} read`),
    );
  }

  function facts(report) {
    const {model, reference, pool, version, config_yaml: config} = report.run;
    const fact = (term, ...value) => h("div", {}, h("dt", {}, term), h("dd", {}, value));
    const unreadable = Object.entries(pool.unreadable);
    return h(
      "div",
      {class: "panel"},
      h("h2", {}, "What was run"),
      h(
        "dl",
        {class: "facts"},
        model
          ? fact(
              "Model",
              model.name ?? "unknown",
              model.pretrained ? ` (${model.pretrained})` : "",
              h("small", {}, details(model)),
            )
          : null,
        reference
          ? fact(
              "Reference",
              plural(reference.samples, "pair"),
              h(
                "small",
                {},
                `prior ${reference.prior}, covariance ${reference.covariance}, temperature ${number(reference.temperature.scale)}, bias ${number(reference.temperature.bias)}, sha256 ${reference.sha256.slice(0, 12)}`,
              ),
            )
          : null,
        fact(
          "Pool",
          pool.kind === "shards"
            ? plural(pool.shards, "shard")
            : `${plural(pool.shards, "part")} of ${pool.kind}`,
          h("small", {class: "code"}, pool.places.join(", ")),
        ),
        unreadable.length
          ? fact(
              "Unreadable",
              h(
                "ul",
                {},
                unreadable.map(([id, why]) => h("li", {}, h("span", {class: "code"}, id), `: ${why}`)),
              ),
            )
          : null,
        fact("curate", version),
      ),
      report.subset
        ? h(
            "details",
            {open: true},
            h("summary", {}, "Rules of this subset"),
            h("pre", {tabindex: "0"}, report.subset.rules_yaml),
          )
        : null,
      h("details", {}, h("summary", {}, "Configuration"), h("pre", {tabindex: "0"}, config)),
    );
  }

  const details = ({width, link, precision, fingerprint}) =>
    [
      width && `width ${width}`,
      link && `${link} link`,
      precision,
      fingerprint && `fingerprint ${fingerprint.slice(0, 12)}`,
    ]
      .filter(Boolean)
      .join(", ");

  return Object.freeze({render});
})();
