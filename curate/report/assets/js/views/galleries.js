"use strict";
// Galleries by group, filtered by score and words.
window.Curate ??= {};

Curate.galleryView = (() => {
  const {h} = Curate.dom;
  const {count, plural} = Curate.format;
  const {filter} = Curate.galleries;
  const PAGE = 60; // cards at once

  const tabId = (group) => `tab-${group.toLowerCase().replaceAll(/\W+/g, "-")}`;

  function render(section, report, state, context) {
    const groups = [...new Set(report.galleries.map(({group}) => group))];
    const body = section.querySelector(".body");
    if (groups.length === 0) {
      body.append(h("p", {class: "note"}, "This report was made without galleries."));
      return;
    }
    const panel = h("div", {role: "tabpanel", id: "gallery", class: "gallery"});
    const view = galleryOf(panel, report, context);
    const tabs = groups.map((group) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: tabId(group),
          "aria-controls": "gallery",
          onclick: () => choose(group),
        },
        group,
      ),
    );
    const picker = h("select", {
      id: "gallery-of",
      onchange: () => view.show(report.galleries.find(({id}) => id === picker.value)),
    });
    const pick = h("label", {class: "pick"}, "Gallery", picker);
    const choose = (group) => {
      tabs.forEach((tab) => {
        const chosen = tab.id === tabId(group);
        tab.setAttribute("aria-selected", String(chosen));
        tab.tabIndex = chosen ? 0 : -1;
      });
      panel.setAttribute("aria-labelledby", tabId(group));
      const members = report.galleries.filter((gallery) => gallery.group === group);
      picker.replaceChildren(...members.map(({id, title}) => h("option", {value: id}, title)));
      pick.hidden = members.length < 2;
      view.show(members[0]);
    };
    const list = h(
      "div",
      {
        role: "tablist",
        "aria-label": "Groups of samples",
        class: "tabs",
        onkeydown: (event) => {
          const at = tabs.indexOf(document.activeElement);
          const to = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1}[event.key];
          if (at < 0 || to === undefined) return;
          event.preventDefault();
          const tab = tabs[(to + tabs.length) % tabs.length];
          tab.focus();
          tab.click();
        },
      },
      tabs,
    );
    body.append(list, h("div", {class: "controls"}, pick, view.controls), panel);
    choose(groups[0]);
    state.onChange(() => view.update());
  }

  function galleryOf(panel, report, context) {
    const wanted = {column: null, low: null, high: null, words: ""};
    let gallery = null;
    let cards = null;
    let shown = PAGE;
    const draw = () => {
      const entries = filter(gallery.entries, report.samples, wanted);
      cards = Curate.cards.list(entries.slice(0, shown), context, gallery.title);
      const more =
        entries.length > shown
          ? h(
              "button",
              {
                type: "button",
                onclick: () => {
                  shown += PAGE;
                  draw();
                },
              },
              `Show ${count(Math.min(PAGE, entries.length - shown))} more`,
            )
          : null;
      const number =
        entries.length === gallery.entries.length
          ? plural(entries.length, "sample")
          : `${count(entries.length)} of ${plural(gallery.entries.length, "sample")}`;
      panel.replaceChildren(
        h("h3", {}, gallery.title),
        h(
          "p",
          {class: "note", role: "status"},
          gallery.about,
          ` ${number} shown, drawn from ${count(gallery.total)}.`,
        ),
        entries.length ? cards.element : h("p", {class: "note"}, "No sample of this gallery matches."),
        more ?? "",
      );
    };
    const set = (change) => {
      Object.assign(wanted, change);
      shown = PAGE;
      draw();
    };
    const bound = (input) => (input.value.trim() === "" ? null : Number(input.value));
    const field = (label, name) => {
      const input = h("input", {type: "number", step: "any", oninput: () => set({[name]: bound(input)})});
      return h("label", {}, label, input);
    };
    const column = h(
      "select",
      {onchange: () => set({column: column.value || null})},
      h("option", {value: ""}, "any score"),
      context.columns.map(({name, label}) => h("option", {value: name}, label)),
    );
    const words = h("input", {type: "search", oninput: () => set({words: words.value})});
    const controls = h(
      "div",
      {class: "filters", role: "group", "aria-label": "Filter samples"},
      h("label", {}, "Only where", column),
      field("from", "low"),
      field("to", "high"),
      h("label", {}, "with words", words),
    );
    const show = (next) => {
      gallery = next;
      shown = PAGE;
      draw();
    };
    return {controls, show, update: () => cards?.update()};
  }

  return Object.freeze({render});
})();
