// Sorts, searches and pages the table of pairs. Its texts are strangers': they become text nodes, never markup.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("pairs-data").textContent);
  const table = byId("pairs-table");
  const heads = [...table.tHead.rows[0].cells];
  const haystacks = data.rows.map((row) => row.join(" ").toLowerCase());
  const styles = { __proto__: null, keep: "w-kept", drop: "w-dropped" };
  const state = { found: [], page: 0, column: -1, descending: false };

  const element = (name, text) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  function compare(a, b) {
    const numbers = data.numbers[state.column];
    const [x, y] = numbers ? [numbers[a], numbers[b]] : [data.rows[a][state.column], data.rows[b][state.column]];
    // What was not measured stays at the end, up or down.
    const empty = (value) => value === null || value === "–";
    if (empty(x) || empty(y)) return empty(x) - empty(y) || a - b;
    return (state.descending ? -1 : 1) * ((x > y) - (x < y)) || a - b;
  }

  function copyButton(command, code) {
    const button = element("button", "copy");
    button.type = "button";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(command);
        button.textContent = "copied";
      } catch {
        // No clipboard outside secure pages: select it, so that one key does.
        getSelection().selectAllChildren(code);
        button.textContent = "selected";
      }
    });
    return button;
  }

  function pairCell(id) {
    // Only ids of plain letters and digits: the command will be pasted into a shell. A page of two versions has none.
    if (!data.command || !/^[0-9A-Za-z_][0-9A-Za-z_.-]*$/.test(id)) return id;
    const details = element("details");
    const code = element("code", data.command + id);
    details.append(element("summary", id), code, copyButton(code.textContent, code));
    return details;
  }

  function draw() {
    const pages = Math.max(1, Math.ceil(state.found.length / data.page));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const start = state.page * data.page;
    const shown = state.found.slice(start, start + data.page);
    const body = element("tbody");
    for (const at of shown) {
      const row = body.insertRow();
      data.rows[at].forEach((text, column) => {
        const cell = row.insertCell();
        if (column) cell.textContent = text;
        else cell.append(pairCell(text));
        if (!data.numbers[column]) cell.className = "text";
        if (column && styles[text]) cell.classList.add(styles[text]);
      });
    }
    table.tBodies[0].replaceWith(body);
    heads.forEach((head, column) => {
      if (column !== state.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    });
    const count = (value) => value.toLocaleString("en");
    byId("pairs-count").textContent = state.found.length ? `${count(state.found.length)} found` : "none found";
    byId("pairs-place").textContent = shown.length ? `${count(start + 1)} to ${count(start + shown.length)}` : "";
    byId("pairs-back").disabled = state.page === 0;
    byId("pairs-on").disabled = state.page === pages - 1;
  }

  function update() {
    const wanted = byId("pairs-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    state.found = [...data.rows.keys()].filter((at) => wanted.every((word) => haystacks[at].includes(word)));
    if (state.column >= 0) state.found.sort(compare);
    state.page = 0;
    draw();
  }

  // Up, down, and back to the order of the page.
  function sortBy(column) {
    if (state.column !== column) Object.assign(state, { column, descending: false });
    else if (!state.descending) state.descending = true;
    else state.column = -1;
    update();
  }

  heads.forEach((head, column) => {
    const button = element("button", head.textContent);
    button.type = "button";
    button.addEventListener("click", () => sortBy(column));
    head.replaceChildren(button);
  });
  byId("pairs-search").addEventListener("input", update);
  for (const [id, step] of [["pairs-back", -1], ["pairs-on", 1]]) {
    byId(id).addEventListener("click", () => {
      state.page += step;
      draw();
      byId("find").scrollIntoView();
    });
  }
  for (const tool of document.querySelectorAll(".pair-tools")) tool.hidden = false;
  update();
})();
