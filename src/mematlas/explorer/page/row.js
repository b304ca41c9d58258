// One row in full. All its pictures share one position: what the pointer or the arrow keys touch is read out below.

import { aligned } from "./aligned.js";
import { afterPause, byId, element, reasoned } from "./dom.js";
import { numbers, origin, places, why } from "./facts.js";
import { count, decimal, MISSING, percent } from "./numbers.js";
import { plots } from "./plots.js";
import { appendText, tokenText } from "./text.js";
import { family, key, positionsOf, recited, SHADES, tokenAt, trueText } from "./tokens.js";
import * as view from "./view.js";

let answer = null;
let study;
let commands;
let position = 0;
let drawing = null; // the plots, which know where a position is
let drawnWidth = 0; // of the pane, when it was drawn
let drawn = ""; // what of the view the pane shows

/** `chosen`: {close, step}, what the buttons beside the row do. */
export function build(chosen) {
  commands = chosen;
  const pane = byId("detail");
  pane.addEventListener("pointerover", (event) => {
    const at = event.target.closest?.("[data-position]");
    if (at) moveTo(Number(at.dataset.position));
  });
  pane.addEventListener("pointermove", (event) => {
    if (drawing?.contains(event.target)) moveTo(drawing.positionAt(event.clientX));
  });
  pane.addEventListener("keydown", walk);
  new ResizeObserver(
    afterPause(120, () => {
      if (view.get("row") !== null && answer && pane.clientWidth && pane.clientWidth !== drawnWidth) draw();
    }),
  ).observe(pane);
}

function walk(event) {
  if (!event.target.closest?.("[data-walk]") || !answer) return;
  const last = positionsOf(answer) - 1;
  const to = { ArrowRight: position + 1, ArrowLeft: position - 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  moveTo(Math.min(last, Math.max(0, to)));
}

/** Shows an answer of /api/row. */
export function show(newAnswer, theStudy) {
  const first = answer === null || answer.row !== newAnswer.row;
  answer = newAnswer;
  study = theStudy;
  if (first) position = answer.cell.context;
  draw(first);
  const model = shownModel();
  byId("said").textContent =
    `Row ${count(answer.row)} is shown: ${model.matches === null ? "not measured" : `${model.matches} of ${answer.cell.continuation} tokens right`}.`;
}

/** Draws again if the view shows another model or shade. */
export function sync() {
  if (answer && String(answer.row) === view.get("row") && drawn !== wanted()) draw();
}

function shownModel() {
  return answer.models.find((model) => model.label === (view.get("shown") ?? view.get("model"))) ?? answer.models[0];
}

function shade() {
  const chosen = view.get("shade");
  return SHADES.some(([name]) => name === chosen) ? chosen : SHADES[0][0];
}

function wanted() {
  return [answer.row, shownModel().label, shade()].join("\n");
}

function header() {
  return element(
    "header",
    {},
    element("h2", { id: "detail-title" }, `Row ${count(answer.row)}`),
    element(
      "button",
      { type: "button", class: "icon", "aria-label": "Row above", title: "Row above", click: () => commands.step(-1) },
      "↑",
    ),
    element(
      "button",
      { type: "button", class: "icon", "aria-label": "Row below", title: "Row below", click: () => commands.step(1) },
      "↓",
    ),
    element(
      "button",
      {
        type: "button",
        class: "icon close",
        id: "close",
        "aria-label": "Close the row",
        title: "Close (Escape)",
        click: () => commands.close(),
      },
      "×",
    ),
  );
}

function shadeSwitch(model) {
  const box = element("div", { class: "switch", role: "radiogroup", "aria-label": "Shade the tokens by" });
  for (const [name, label] of SHADES) {
    box.append(
      element(
        "label",
        {},
        element("input", {
          type: "radio",
          name: "shade",
          value: name,
          checked: name === shade(),
          disabled: !model.truth?.[name],
          change: () => view.change({ shade: name }),
        }),
        element("span", {}, label),
      ),
    );
  }
  return box;
}

function reason(kind, model) {
  return element(
    "p",
    { class: "reason" },
    reasoned(
      model?.reason && ["truth", "free"].includes(kind)
        ? `Not measured: ${model.reason}`
        : (answer.missing?.[kind] ?? study.has[kind] ?? "Not measured for this row."),
    ),
  );
}

function section(title, ...parts) {
  return element("section", {}, element("h3", {}, title), ...parts);
}

/** Draws the row; unless it is another one, the place that is read stays. */
function draw(first = false) {
  const pane = byId("detail");
  const model = shownModel();
  const controls = new Set(study.models.filter((one) => one.is_control).map((one) => one.label));
  const body = element("div", { class: "body" });
  const focus = focusOf(pane);
  const place = first ? 0 : (pane.querySelector(".body")?.scrollTop ?? 0);
  pane.replaceChildren(header(), body, element("p", { class: "readout", role: "status", id: "readout" }));
  const style = getComputedStyle(body);
  const width = Math.max(240, body.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
  drawn = wanted();
  drawnWidth = pane.clientWidth;
  drawing = plots(answer, model, width);
  const details = element("details", { class: "numbers" }, element("summary", {}, "Numbers by position"));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(numbers(answer, model));
  });
  const generated = answer.models.some((one) => one.generated);
  body.append(
    origin(answer),
    section(
      "Who recites it",
      family(answer, model.label, (label) => view.change({ shown: label }), { controls }),
    ),
    section(
      `True text, as ${model.label} sees it`,
      ...(model.truth ? [shadeSwitch(model)] : [reason("truth", model)]),
      ...(answer.tokens ? (answer.tokens.texts ? [] : [reason("texts")]) : [reason("tokens")]),
      ...(answer.tokens ? [trueText(answer, model, shade()), key(shade(), Boolean(model.truth))] : []),
    ),
    section("Why", why(answer, model)),
    section(
      "What each model wrote",
      ...(generated ? [] : [reason("free", model)]),
      answer.tokens || generated ? aligned(answer, model.label, width, controls) : null,
    ),
    section(
      "Along the positions",
      ...(drawing ? [drawing] : [reason("truth", model)]),
      ...(answer.counts ? [] : [reason("counts")]),
      ...(answer.missing?.predictions && !model.predicted ? [reason("predictions")] : []),
    ),
    section("The same tokens elsewhere", places(answer)),
    details,
  );
  body.scrollTop = place;
  if (focus) pane.querySelector(focus)?.focus();
  moveTo(Math.min(position, positionsOf(answer) - 1));
}

/** A selector of the focused element of the pane, to find it again after the pane is drawn anew. */
function focusOf(pane) {
  const focused = document.activeElement;
  if (!pane.contains(focused) || focused === pane) return null;
  if (focused.dataset.model !== undefined) return `[data-model="${CSS.escape(focused.dataset.model)}"]`;
  if (focused.name === "shade") return `[name="shade"][value="${focused.value}"]`;
  if (focused.dataset.walk !== undefined) return "[data-walk]";
  return focused.getAttribute("aria-label") ? `[aria-label="${CSS.escape(focused.getAttribute("aria-label"))}"]` : null;
}

function moveTo(to) {
  position = to;
  const pane = byId("detail");
  for (const old of pane.querySelectorAll(".at")) old.classList.remove("at");
  for (const now of pane.querySelectorAll(`[data-position="${position}"]`)) now.classList.add("at");
  drawing?.moveTo(position);
  readOut();
}

function quoted(text) {
  return appendText(element("b", {}), tokenText(String(text ?? MISSING)));
}

function readOut() {
  const model = shownModel();
  const { context, continuation } = answer.cell;
  const i = position - context;
  const value = (name) => model.truth?.[name]?.[position];
  const parts = [];
  if (model.truth && value("log_probability") !== null && value("log_probability") !== undefined) {
    parts.push(
      `log p ${decimal(value("log_probability"))} (${percent(Math.exp(value("log_probability")))})`,
      `rank ${count(value("rank"))}`,
      `entropy ${decimal(value("entropy"))}`,
      `margin ${decimal(value("margin"))}`,
    );
  }
  const grams = ["unigrams", "bigrams", "trigrams"].map((name) => answer.counts?.[name]?.[position]);
  if (grams.some((one) => one !== null && one !== undefined)) parts.push(`counts ${grams.map(count).join(" / ")}`);
  if (i >= 0 && model.predicted) parts.push(`predicted ${percent(model.predicted[i])}`);
  const line = element(
    "span",
    { class: "first" },
    `${i < 0 ? `Context ${position + 1} of ${context}` : `Continuation ${i + 1} of ${continuation}`}: `,
    quoted(tokenAt(answer, position)),
  );
  if (i >= 0) {
    const hit = recited(model, continuation)[i];
    line.append(hit === null ? " not measured" : hit ? " recited" : " missed");
    if (hit === false && model.generated)
      line.append(", written: ", quoted(model.generated.texts?.[i] ?? model.generated.ids?.[i]));
  }
  byId("readout").replaceChildren(line, element("span", { class: "soft" }, parts.join(" · ")));
}
