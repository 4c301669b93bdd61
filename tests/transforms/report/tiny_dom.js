// As much of a browser as pairs.js needs. Usage: node tiny_dom.js SCRIPT DATA STEPS
// STEPS is JSON: ["sort", column] | ["search", words] | ["on"] | ["back"]. After each, one line of JSON with
// what a reader would see. Anything that writes markup does not exist here and would fail.
"use strict";
const fs = require("node:fs");
const [script, data, steps] = process.argv.slice(2);

class Element {
  constructor(name) {
    Object.assign(this, { name, children: [], listeners: {}, attributes: {}, text: "", value: "", className: "" });
    this.classList = { add: (style) => (this.className += ` ${style}`) };
  }
  get textContent() { return this.text + this.children.map((child) => child.textContent ?? child).join(""); }
  set textContent(text) { this.text = text; this.children = []; }
  get rows() { return this.children; }
  get cells() { return this.children; }
  append(...children) { this.children.push(...children); }
  replaceChildren(...children) { this.text = ""; this.children = children; }
  insert() { const made = new Element(); this.children.push(made); return made; }
  insertRow() { return this.insert(); }
  insertCell() { return this.insert(); }
  replaceWith(other) { table.tBodies = [other]; }
  setAttribute(name, value) { this.attributes[name] = value; }
  removeAttribute(name) { delete this.attributes[name]; }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  scrollIntoView() {}
}

const ids = {};
const byId = (id) => (ids[id] ??= new Element());
const table = byId("pairs-table");
table.tBodies = [new Element()];
table.tHead = { rows: [new Element()] };
const heads = table.tHead.rows[0];
byId("pairs-data").textContent = fs.readFileSync(data, "utf8");
for (const label of JSON.parse(byId("pairs-data").textContent).columns) heads.insert().textContent = label;
globalThis.document = {
  getElementById: byId,
  createElement: (name) => new Element(name),
  querySelectorAll: () => [],
};
(0, eval)(fs.readFileSync(script, "utf8"));

const does = {
  sort: (column) => heads.cells[column].children[0].listeners.click(),
  search: (words) => { byId("pairs-search").value = words; byId("pairs-search").listeners.input(); },
  on: () => byId("pairs-on").listeners.click(),
  back: () => byId("pairs-back").listeners.click(),
};
for (const [step, argument] of JSON.parse(steps)) {
  does[step](argument);
  const seen = table.tBodies[0].rows.map((row) => row.cells.map((cell) => (cell.children[0]?.children?.[0] ?? cell).textContent));
  console.log(JSON.stringify({
    ids: seen.map((row) => row[0]),
    count: byId("pairs-count").textContent,
    place: byId("pairs-place").textContent,
    sorted: heads.cells.map((head) => head.attributes["aria-sort"] ?? ""),
    back: !byId("pairs-back").disabled,
    on: !byId("pairs-on").disabled,
    details: table.tBodies[0].rows[0]?.cells[0].textContent ?? "",
  }));
}
