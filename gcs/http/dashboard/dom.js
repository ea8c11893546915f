// Elements. Whatever comes from the head becomes text, never markup.

import { stateName } from "./format.js";

/** An element with properties (`class`, `data-*` and `aria-*` as attributes, functions as listeners) and children. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  fill(made, ...children);
  return made;
}

/** Replaces what is inside. Strings and numbers become text; null is left out. */
export function fill(parent, ...children) {
  const nodes = children.flat().filter((child) => child !== null && child !== undefined && child !== "");
  parent.replaceChildren(...nodes.map((child) => (child instanceof Node ? child : document.createTextNode(child))));
}

export function badge(state) {
  const kinds = [
    [/^(SUCCEEDED|FINISHED|ALIVE)$/, "good"],
    [/^RUNNING/, "busy"],
    [/^(FAILED|DEAD|LOST)$/, "bad"],
    [/^(PENDING|SUBMITTED|RESTARTING|STOPPED|DEPENDENCIES)/, "wait"],
  ];
  const kind = kinds.find(([names]) => names.test(state));
  return el("span", { class: `badge ${kind ? kind[1] : ""}` }, stateName(state ?? "UNKNOWN"));
}

/** Names and values; those without a value are left out. */
export function facts(pairs, kind = "") {
  const there = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: `facts ${kind}` }, there.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

/** A labelled field for a search; `changed` gets its text. */
export function searchBox(label, changed) {
  const input = el("input", { type: "search", placeholder: label, spellcheck: "false", autocomplete: "off" });
  input.addEventListener("input", () => changed(input.value.trim().toLowerCase()));
  return el("label", { class: "field grow" }, el("span", { class: "hidden" }, label), input);
}

/** A labelled choice among `[value, text]`. */
export function choice(label, options, changed) {
  const select = el("select", {}, options.map(([value, text]) => el("option", { value }, text)));
  select.addEventListener("change", () => changed(select.value));
  return el("label", { class: "field" }, el("span", { class: "hidden" }, label), select);
}

/** A table that changes only the rows that changed, so that focus and selections stay. Columns: `{name, of(row), number, wide}`. */
export class Table {
  #columns;
  #key;
  #body = el("tbody", { role: "rowgroup" });
  #rows = new Map();
  #nothing = el("p", { class: "nothing", hidden: true });
  root;

  constructor(caption, columns, key) {
    this.#columns = columns;
    this.#key = key;
    const head = columns.map(({ name, number }) => el("th", { scope: "col", role: "columnheader", class: number && "number" }, name));
    const table = el("table", { role: "table" }, el("caption", { class: "hidden" }, caption),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)), this.#body);
    this.root = el("div", { class: "table" }, table, this.#nothing);
  }

  show(rows, nothing) {
    const before = this.#rows;
    this.#rows = new Map();
    for (const row of rows) {
      const key = this.#key(row);
      const seen = this.#columns.map(({ of }) => of(row));
      const text = JSON.stringify(seen.map((cell) => (cell instanceof Node ? cell.outerHTML : cell)));
      const old = before.get(key);
      this.#rows.set(key, old?.text === text ? old : { text, line: this.#line(seen, key) });
    }
    const lines = [...this.#rows.values()].map(({ line }) => line);
    if (lines.length !== this.#body.children.length || lines.some((line, at) => this.#body.children[at] !== line)) {
      const focused = document.activeElement?.closest("tr")?.dataset.key;
      const inside = this.#body.contains(document.activeElement);
      this.#body.replaceChildren(...lines);
      if (inside) this.#rows.get(focused)?.line.querySelector("a")?.focus({ preventScroll: true });
    }
    this.#nothing.hidden = rows.length > 0;
    fill(this.#nothing, nothing);
  }

  #line(cells, key) {
    const made = cells.map((cell, at) => {
      const { name, number, wide } = this.#columns[at];
      const shown = cell === null || cell === undefined || cell === "" ? "–" : cell;
      const kind = [number && "number", wide && "wide"].filter(Boolean).join(" ");
      return el("td", { role: "cell", class: kind || null, "data-name": name, title: wide && typeof shown === "string" ? shown : null }, shown);
    });
    return el("tr", { role: "row", "data-key": key }, made);
  }
}
