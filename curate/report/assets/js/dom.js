"use strict";
// Elements from plain values: text is always text, never markup.
window.Curate ??= {};

Curate.dom = (() => {
  /** An element: properties that start with `on` are listeners, `class` and the rest attributes. */
  function h(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name.startsWith("--")) element.style.setProperty(name, value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    element.append(
      ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
    );
    return element;
  }

  const byId = (id) => document.getElementById(id);

  /** Text of untrusted origin, which may run from right to left. */
  const foreign = (tag, text, className = null) => h(tag, {class: className, dir: "auto"}, text);

  /** Text of names and reasons, which may break after their punctuation rather than anywhere. */
  function breakable(text) {
    return text
      .split(/(?<=[._=/,])/)
      .flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part]));
  }

  /** Buttons of which one is pressed; `choose` gets the value of the new one. */
  function segments(label, options, chosen, choose) {
    const buttons = options.map(([value, text]) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(value === chosen),
          onclick: () => {
            buttons.forEach((button, i) =>
              button.setAttribute("aria-pressed", String(options[i][0] === value)),
            );
            choose(value);
          },
        },
        text,
      ),
    );
    return h("div", {class: "segments", role: "group", "aria-label": label}, buttons);
  }

  /** A closed table under a chart, filled when it is opened for the first time. */
  function dataTable(summary, caption, heads, rowsOf) {
    const details = h("details", {class: "data"}, h("summary", {}, summary));
    details.addEventListener("toggle", () => {
      if (!details.open || details.querySelector("table")) return;
      details.append(
        h(
          "div",
          {class: "scroll", tabindex: "0", role: "region", "aria-label": caption},
          simpleTable(caption, heads, rowsOf()),
        ),
      );
    });
    return details;
  }

  /** A table whose first column names the row; numbers come as text. */
  function simpleTable(caption, heads, rows) {
    return h(
      "table",
      {},
      h("caption", {class: "hidden"}, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((head, i) => h("th", {scope: "col", class: i ? "number" : null}, head)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map(([first, ...rest]) =>
          h(
            "tr",
            {},
            h("th", {scope: "row"}, first),
            rest.map((cell) => h("td", {class: "number"}, cell)),
          ),
        ),
      ),
    );
  }

  /** Hide a section that this run has nothing for, and its link. */
  function leaveOut(section) {
    section.hidden = true;
    document.querySelector(`nav a[href="#${section.id}"]`).parentElement.hidden = true;
  }

  /** Copy text; where the browser refuses, select it for the user. */
  async function copy(text, button, source) {
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch (error) {
      console.info("the clipboard is not available; the text is selected instead:", error.message);
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => {
      button.textContent = label;
    }, 2000);
  }

  return Object.freeze({h, byId, foreign, breakable, segments, dataTable, simpleTable, leaveOut, copy});
})();
