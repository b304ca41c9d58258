// Starts the page, and asks the server anew for whatever a change of the view touches.

import { byId, element, prose } from "./dom.js";
import * as exporting from "./export.js";
import * as filters from "./filters.js";
import { count, plural, short } from "./numbers.js";
import * as questions from "./questions.js";
import * as row from "./row.js";
import { ask } from "./server.js";
import * as strip from "./strip.js";
import * as table from "./table.js";
import * as view from "./view.js";

const NARROW = window.matchMedia("(max-width: 60rem)");
const asked = {}; // what the server was last asked for each purpose
let study;
let waiting = 0; // answers that are still to come
let byLevel = false; // whether the strip plot has levels instead of tokens right

function complain(error) {
  byId("problem").replaceChildren(
    prose(error.message),
    " ",
    element("button", { type: "button", click: () => again() }, "Try again"),
    " ",
    element("button", { type: "button", click: () => view.startOver() }, "Start over"),
  );
  byId("problem").hidden = false;
}

/** Asks unless the question is the same as before; `shown` gets the answer. */
async function refresh(purpose, path, params, shown) {
  if (asked[purpose] === String(params)) return;
  asked[purpose] = String(params);
  waitFor(1);
  try {
    const answer = await ask(path, params, purpose);
    if (answer !== null) {
      byId("problem").hidden = true;
      shown(answer);
    }
  } catch (error) {
    delete asked[purpose];
    complain(error);
  }
  waitFor(-1);
}

/** Counts the answers that are awaited; the page shows that it waits. */
function waitFor(change) {
  waiting += change;
  document.body.toggleAttribute("data-waiting", waiting > 0);
  byId("rows").setAttribute("aria-busy", String(waiting > 0));
}

function again() {
  for (const purpose of Object.keys(asked)) delete asked[purpose];
  render();
}

function showRows(answer) {
  table.show(answer);
  table.announce(answer);
  if (table.isUnfinished()) {
    delete asked.rows; // asked again, the search goes on where it stopped
    delete asked.strip;
    render();
  }
}

function render() {
  filters.sync(study);
  axes();
  const rows = view.selection();
  rows.set("limit", String(table.PAGE));
  refresh("rows", "/api/rows", rows, showRows);
  refresh(
    "strip",
    "/api/strip",
    view.selection(["matches_min", "matches_max", "sort", "descending", "offset", ...(byLevel ? ["level"] : [])]),
    (answer) => {
      byLevel = answer.by === "level";
      strip.show(answer);
    },
  );
  table.sync();
  const id = view.get("row");
  document.body.classList.toggle("reading", id !== null);
  if (id === null) {
    delete asked.row;
    questions.show(study);
    return;
  }
  const params = new URLSearchParams({ row: id, context: view.get("context"), continuation: view.get("continuation") });
  refresh("row", "/api/row", params, (answer) => {
    if (view.get("row") === String(answer.row)) row.show(answer, study);
  });
  row.sync(study);
}

function axes() {
  byId("model").value = view.get("model");
  byId("cell").value = `${view.get("context")},${view.get("continuation")}`;
}

function modelName(model) {
  const facts = [
    model.parameters ? `${short(model.parameters)} parameters` : "",
    model.training_step ? `step ${count(model.training_step)}` : "",
    model.is_control ? "control" : "",
  ].filter(Boolean);
  return facts.length ? `${model.label} (${facts.join(", ")})` : model.label;
}

function buildAxes() {
  byId("study").textContent = study.name;
  document.title = `${study.name}: mematlas explorer`;
  byId("study").title = `${study.folder}, run ${study.run}, ${plural(study.rows, "row")}`;
  byId("model").append(...study.models.map((model) => element("option", { value: model.label }, modelName(model))));
  byId("cell").append(
    ...study.cells.map((cell) =>
      element(
        "option",
        { value: `${cell.context},${cell.continuation}` },
        `${cell.context} + ${cell.continuation} tokens`,
      ),
    ),
  );
  byId("model").addEventListener("change", () =>
    view.change({
      model: byId("model").value,
      shown: null,
      ...(view.get("compare") === byId("model").value ? filters.alone() : {}),
    }),
  );
  byId("cell").addEventListener("change", () => {
    const [context, continuation] = byId("cell").value.split(",");
    view.change({ context, continuation });
  });
}

/** Escape closes a menu first, then the row; the focus goes back to where the row was opened. */
function escape(event) {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (view.get("row") !== null && !["INPUT", "SELECT"].includes(document.activeElement.tagName)) {
    close();
  }
}

function close() {
  const id = view.get("row");
  view.change({ row: null, shown: null });
  const links = [...byId("table").querySelectorAll("tbody a")];
  (links.find((link) => link.dataset.row === id) ?? links[0] ?? byId("rows")).focus();
}

function connect() {
  document.addEventListener("keydown", escape);
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]"))
      if (!menu.contains(event.target)) menu.open = false;
  });
  document
    .querySelector("[data-skip]")
    .addEventListener("click", () => (byId("table").querySelector('tbody a[tabindex="0"]') ?? byId("rows")).focus());
  // where the row covers the page, or when it is opened a second time, the reader goes to it
  table.build(study, (second) => {
    if (NARROW.matches || second) byId("detail").focus();
  });
  row.build({ close, step: table.step });
  exporting.build(study);
}

async function start() {
  try {
    study = await ask("/api/study", "", "study");
  } catch (error) {
    complain(error);
    return;
  }
  view.setDefaults({
    model: study.default.model,
    context: String(study.default.context),
    continuation: String(study.default.continuation),
    sort: study.is_graded ? "matches" : "verbatim",
    descending: "1",
  });
  buildAxes();
  filters.build(study);
  connect();
  view.onChange(render);
  render();
  document.documentElement.dataset.ready = "true";
}

start();
