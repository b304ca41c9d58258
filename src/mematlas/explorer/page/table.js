// The table of rows: sortable headings, one link a row, arrow keys, pages.

import { afterPause, byId, element, unseen } from "./dom.js";
import { labelOf } from "./filters.js";
import { count, decimal, difference, MISSING, percent, plural } from "./numbers.js";
import { levelOf } from "./strip.js";
import { appendMarked, appendText, tail } from "./text.js";
import * as view from "./view.js";

export const PAGE = 50;
const CONTEXT_SHOWN = 14; // characters of the context before the true text
const SHORT = {
  row: "Row",
  matches: "Matches",
  verbatim: "Verbatim",
  repetitions: "Shown",
  copies: "Copies",
  kind: "Kind",
  role: "Role",
  source: "Source",
  document: "Document",
  level: "Level",
  margin: "Margin",
  change: "Change",
  risk: "Risk",
};
const USUAL = ["row", "matches", "verbatim", "repetitions"];
const TEXT = "text";

let study;
let answer = { rows: [], total: 0 };
let drawn = null; // the columns on the page
let focusAfter = null; // "first" or "last": what gets the focus once the next page is there

function usable(name) {
  return study.fields.some((field) => field.name === name && (!field.unavailable || name === "row"));
}

/** The columns shown: those chosen, else the usual ones and whatever the view sorts or filters by. */
export function columns() {
  const chosen = view.get("columns");
  const asked = [
    view.get("sort"),
    ...view
      .filterNames()
      .map((name) => name.replace(/_(min|max)$/, ""))
      .filter((name) => name !== "level"),
    ...(view.get("compare") ? ["change"] : []),
  ];
  const shown =
    chosen === null
      ? new Set([
          ...USUAL,
          ...(study.is_graded ? [] : ["level"]),
          ...(study.has.tokens ? ["role", "source", "margin"] : []),
          ...asked,
        ])
      : new Set(["row", ...chosen.split(",")]);
  const names = study.fields
    .map((field) => field.name)
    .filter((name) => shown.has(name) && usable(name) && (name !== "change" || view.get("compare")));
  const ordered = [...USUAL.filter((name) => names.includes(name)), ...names.filter((name) => !USUAL.includes(name))];
  return [
    "row",
    ...ordered.filter((name) => name !== "row"),
    ...(study.has.tokens || (chosen !== null && !shown.has(TEXT)) ? [] : [TEXT]),
  ];
}

function isNumeric(name) {
  return ["integer", "number"].includes(study.fields.find((field) => field.name === name)?.type);
}

function heading(name) {
  if (name === TEXT) return element("th", { scope: "col", role: "columnheader", class: "text" }, "Text");
  const sorted = view.get("sort") === name;
  const down = view.get("descending") === "1";
  const sort = () =>
    view.change({
      sort: name,
      descending: sorted ? (down ? "0" : "1") : isNumeric(name) && name !== "row" ? "1" : "0",
    });
  const field = study.fields.find((one) => one.name === name);
  return element(
    "th",
    {
      scope: "col",
      role: "columnheader",
      class: `${name}${isNumeric(name) ? " number" : ""}`,
      "aria-sort": sorted ? (down ? "descending" : "ascending") : "none",
    },
    element(
      "button",
      { type: "button", title: field.meaning, "data-sort": name, click: sort },
      SHORT[name] ?? labelOf(field),
      element("span", { class: "arrow", "aria-hidden": "true" }, sorted ? (down ? " ↓" : " ↑") : ""),
    ),
  );
}

function matchesCell(cell, row) {
  const length = Number(view.get("continuation"));
  if (row.matches === null || row.matches === undefined)
    return cell.append(element("span", { class: "soft" }, row.level ?? MISSING));
  cell.classList.add(`level-${levelOf(row.matches, length)}`);
  cell.style.setProperty("--share", (100 * row.matches) / length);
  return cell.append(count(row.matches), unseen(` of ${length}`));
}

function before(text, at) {
  // a text from a little before this place on
  const begin = Math.max(0, at - 10);
  return (begin ? "…" : "") + text.slice(begin).toWellFormed();
}

/** The end of the context and the true text; where a search was made, what stands around it. */
function textCell(row) {
  const cell = element("td", { role: "cell", class: "text" });
  if (row.context_text === null && row.true_text === null) return fillWith(cell, MISSING);
  const searched = (view.get("search") ?? "").trim();
  const [context, truth] = [row.context_text, row.true_text].map((text) => (text ?? "").replace(/ {2,}/g, " "));
  const at = (text) => (searched ? text.toLowerCase().indexOf(searched.toLowerCase()) : -1);
  const inContext = at(context) >= 0;
  const line = element(
    "span",
    { class: "line" },
    appendMarked(
      element("span", { class: "context" }),
      inContext ? before(context, at(context)) : tail(context, CONTEXT_SHOWN),
      searched,
    ),
    appendMarked(
      element("span", { class: "true" }),
      !inContext && at(truth) > 10 ? before(truth, at(truth)) : truth,
      searched,
    ),
  );
  return fillWith(cell, line);
}

function fillWith(cell, content) {
  cell.append(content);
  return cell;
}

function cellOf(row, name) {
  if (name === TEXT) return textCell(row);
  const value = row[name];
  const cell = element("td", {
    role: "cell",
    class: `${name}${isNumeric(name) ? " number" : ""}`,
    "data-name": SHORT[name] ?? name,
  });
  if (name === "matches") matchesCell(cell, row);
  else if (name === "change") cell.append(difference(value ?? null));
  else if (name === "risk") cell.append(percent(value));
  else if (value === null || value === undefined) cell.append(MISSING);
  else if (typeof value === "number") cell.append(Number.isInteger(value) ? count(value) : decimal(value));
  else cell.append(appendText(element("span", { class: "word" }), String(value)));
  return cell;
}

function line(row, names) {
  const open = view.get("row") === String(row.row);
  const link = element(
    "a",
    {
      href: view.address({ row: String(row.row) }),
      tabindex: -1,
      "data-row": row.row,
      "aria-current": open ? "true" : null,
    },
    unseen("Row "),
    count(row.row),
  );
  return element(
    "tr",
    { role: "row", class: open ? "open" : null },
    element("th", { scope: "row", role: "rowheader", class: "number row" }, link),
    ...names.slice(1).map((name) => cellOf(row, name)),
  );
}

function links() {
  return [...byId("table").querySelectorAll("tbody a")];
}

/** Draws the rows of an answer of /api/rows. The focus stays where it was, or goes to the end that was moved over. */
export function show(newAnswer) {
  const body = byId("table").tBodies[0];
  const focused = body.contains(document.activeElement) ? document.activeElement.dataset.row : null;
  const sorting = byId("table").tHead.contains(document.activeElement) ? document.activeElement.dataset.sort : null;
  answer = newAnswer;
  const names = columns();
  drawn = names.join();
  byId("table").tHead.replaceChildren(element("tr", { role: "row" }, ...names.map(heading)));
  body.replaceChildren(...answer.rows.map((row) => line(row, names)));
  byId("empty").hidden = answer.rows.length > 0;
  byId("empty").textContent = isComplete()
    ? "No row fits these filters. Take one away above."
    : "No row was found yet.";
  const all = links();
  const current = all.find((link) => link.dataset.row === (focused ?? view.get("row"))) ?? all[0];
  if (current) current.tabIndex = 0;
  if (sorting)
    byId("table")
      .tHead.querySelector(`[data-sort="${CSS.escape(sorting)}"]`)
      ?.focus();
  else if (focusAfter && all.length) focusLink(all[focusAfter === "first" ? 0 : all.length - 1]);
  else if (focused !== null) current?.focus();
  if (focusAfter || !focused)
    byId("table-scroll").scrollTop = focusAfter === "last" ? 1e9 : focusAfter ? 0 : byId("table-scroll").scrollTop;
  focusAfter = null;
  pager();
}

/** Marks the row that is open, and draws the same rows again if other columns were chosen. */
export function sync() {
  if (drawn !== null && drawn !== columns().join()) show(answer);
  for (const link of links()) {
    const open = link.dataset.row === view.get("row");
    link.closest("tr").classList.toggle("open", open);
    if (open) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    link.href = view.address({ row: link.dataset.row });
  }
}

function pager() {
  const offset = Number(view.get("offset") ?? 0);
  byId("page").textContent = answer.total
    ? `${count(offset + 1)}–${count(offset + answer.rows.length)} of ${count(answer.total)}${isComplete() ? "" : " or more"}`
    : "";
  byId("previous").disabled = offset === 0;
  byId("next").disabled = isComplete() && offset + answer.rows.length >= answer.total;
  byId("sort").value = view.get("sort") ?? "";
  const down = view.get("descending") === "1";
  byId("direction").textContent = down ? "↓" : "↑";
  byId("direction").title = down ? "Highest first" : "Lowest first";
  byId("direction").setAttribute("aria-label", byId("direction").title);
}

function turn(by, focus = null) {
  const offset = Number(view.get("offset") ?? 0) + by * PAGE;
  if (offset < 0 || (isComplete() && offset >= answer.total)) return;
  focusAfter = focus;
  byId("table-scroll").scrollTop = 0;
  view.change({ offset: offset ? String(offset) : null });
}

const follow = afterPause(90, (id) => {
  if (view.get("row") !== null) view.change({ row: id }, "row");
});

function focusLink(link) {
  for (const other of links()) other.tabIndex = other === link ? 0 : -1;
  link.focus();
  link.closest("tr").scrollIntoView({ block: "nearest" });
  follow(link.dataset.row);
}

/** Opens the row above (-1) or below (1) the one that is open; for the buttons beside the row. */
export function step(by) {
  const all = links();
  const at = all.findIndex((link) => link.dataset.row === view.get("row"));
  const next = all[at + by];
  if (next) view.change({ row: next.dataset.row }, "row");
  else turn(by, by > 0 ? "first" : "last");
}

function keys(event) {
  const all = links();
  const at = all.indexOf(document.activeElement);
  if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (event.key === "PageDown") turn(1, "first");
  else if (event.key === "PageUp") turn(-1, "first");
  else if (to === undefined) return;
  else if (to < 0) turn(-1, "last");
  else if (to >= all.length) turn(1, "first");
  else focusLink(all[to]);
  event.preventDefault();
}

function columnMenu() {
  const sheet = byId("columns").querySelector(".sheet");
  const shown = columns();
  const names = [...study.fields.map((field) => field.name), TEXT].filter(
    (name) => name !== "row" && (usable(name) || name === TEXT),
  );
  const choose = () =>
    view.change({ columns: [...sheet.querySelectorAll("input:checked")].map((input) => input.value).join(",") });
  sheet.replaceChildren(
    ...names.map((name) =>
      element(
        "label",
        { class: "check" },
        element("input", {
          type: "checkbox",
          value: name,
          checked: shown.includes(name),
          disabled: name === TEXT ? Boolean(study.has.tokens) : name === "change" && !view.get("compare"),
          change: choose,
        }),
        name === TEXT ? "Text" : labelOf(study.fields.find((field) => field.name === name)),
      ),
    ),
  );
}

/** Connects the table's keys, clicks and pages; `opened` is called when a row is opened by hand. */
export function build(theStudy, opened) {
  study = theStudy;
  const body = byId("table").tBodies[0];
  body.addEventListener("keydown", keys);
  body.addEventListener("click", (event) => {
    const link = event.target.closest("tr")?.querySelector("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || String(getSelection())) return;
    event.preventDefault();
    for (const other of links()) other.tabIndex = other === link ? 0 : -1;
    link.focus();
    const again = view.get("row") === link.dataset.row;
    view.change({ row: link.dataset.row });
    opened(again);
  });
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  for (const field of study.fields) {
    if (usable(field.name)) byId("sort").append(element("option", { value: field.name }, labelOf(field)));
  }
  byId("sort").addEventListener("change", () =>
    view.change({ sort: byId("sort").value, descending: view.get("descending") }),
  );
  byId("direction").addEventListener("click", () =>
    view.change({ sort: view.get("sort"), descending: view.get("descending") === "1" ? "0" : "1" }),
  );
  byId("columns").addEventListener("toggle", () => {
    if (byId("columns").open) columnMenu();
  });
}

/** "1,234 of 20,000 rows": said aloud when it changes. */
export function announce(theAnswer) {
  const rows = plural(study.rows, "row");
  const of = theAnswer.total === study.rows ? rows : `${count(theAnswer.total)} of ${rows}`;
  const text = isComplete()
    ? of
    : `${count(theAnswer.total)} or more of ${rows}; ${count(theAnswer.searched.rows)} searched`;
  if (byId("count").textContent !== text) byId("count").replaceChildren(element("strong", {}, text));
}

/** Whether the rows on the page are all that the search would find: it stops when a page is full, or after a while. */
export function isComplete() {
  return answer.searched?.complete ?? true;
}

/** Whether the search stopped before the page was full. */
export function isUnfinished() {
  return !isComplete() && answer.rows.length < PAGE;
}
