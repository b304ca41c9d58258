// What is known of a row beside its tokens: why it may be recited, where else it stands, and all numbers in a table.

import { element, reasoned } from "./dom.js";
import { count, decimal, MISSING, percent, plural } from "./numbers.js";
import { appendText, tokenText } from "./text.js";
import { positionsOf, recited, tokenAt } from "./tokens.js";
import * as view from "./view.js";

function times(number) {
  return number === 0 ? "never" : number === 1 ? "once" : number === 2 ? "twice" : `${count(number)} times`;
}

function mean(values) {
  const known = (values ?? []).filter((value) => value !== null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

function median(values) {
  const known = (values ?? []).filter((value) => value !== null).sort((a, b) => a - b);
  return known.length ? known[Math.floor((known.length - 1) / 2)] : null;
}

/** [question, answer] of each thing that bears on why a model recites this row. */
function reasons(answer, model) {
  const { facts, cell, counts } = answer;
  const truth = model.truth?.log_probability?.slice(cell.context);
  const ends = counts?.trigrams?.slice(cell.context);
  const guessed = mean(model.predicted);
  const known = [
    [
      "Seen in training",
      typeof facts.repetitions === "number"
        ? `${times(facts.repetitions)}${facts.role === "control" ? " (control text)" : ""}`
        : facts.role === "control"
          ? "never (control text)"
          : null,
    ],
    ["Copies in the corpus", typeof facts.copies === "number" ? plural(facts.copies, "row") : null],
    ["Kind of text", facts.kind ?? null],
    ["Its median 3-gram", median(ends) === null ? null : `${times(median(ends))} in the corpus`],
    ["Probability of a token", mean(truth) === null ? null : `${percent(Math.exp(mean(truth)))}, geometric mean`],
    ["Smallest margin", model.margin === null || model.margin === undefined ? null : `${decimal(model.margin)} logits`],
    [
      "Predicted",
      guessed === null
        ? null
        : `${percent(guessed)} of the tokens; recited: ${percent((model.matches ?? 0) / cell.continuation)}`,
    ],
  ];
  return known.filter(([, text]) => text !== null);
}

export function why(answer, model) {
  const list = element("dl", { class: "why" });
  for (const [name, text] of reasons(answer, model))
    list.append(element("div", {}, element("dt", {}, name), element("dd", {}, text)));
  return list.childElementCount
    ? list
    : element("p", { class: "reason" }, "Nothing is known of this row but its scores.");
}

/** "train · books · document 12": where the row comes from. */
export function origin(answer) {
  const { role, source, document: from } = answer.facts;
  const line = element("p", { class: "origin" });
  const parts = [
    role,
    source,
    from === null || from === undefined ? null : `document ${from}`,
    `first ${answer.cell.context} tokens, then ${answer.cell.continuation}${answer.cell.align === "end" ? ", aligned at the end" : ""}`,
  ];
  parts.filter(Boolean).forEach((part, i) => appendText(line, `${i ? " · " : ""}${part}`));
  return line;
}

function place(one) {
  const item = element("li");
  const linked = one.row !== null && one.row !== undefined && one.in_study !== false && !one.same_row;
  if (one.same_row) item.append("this row itself");
  else if (linked) item.append(element("a", { href: view.address({ row: String(one.row) }) }, `row ${count(one.row)}`));
  else if (one.row !== null && one.row !== undefined) item.append(`row ${count(one.row)}`);
  const step = one.training_step;
  const rest = [
    one.source,
    one.document === null || one.document === undefined ? null : `document ${one.document}`,
    one.offset === null || one.offset === undefined ? null : `from token ${count(one.offset)}`,
    step === null || step === undefined ? null : `shown at training step ${count(step)}`,
  ];
  return appendText(
    item,
    rest
      .filter(Boolean)
      .map((part) => `, ${part}`)
      .join(""),
  );
}

/** Where else in the corpus the continuation stands, or why that is not known. */
export function places(answer) {
  if (answer.places === null || answer.places === undefined)
    return element("p", { class: "reason" }, reasoned(answer.missing?.places ?? "not measured"));
  if (!answer.places.length) return element("p", {}, "Nowhere else in the corpus.");
  const more = (answer.facts.places_total ?? answer.places.length) - answer.places.length;
  return element(
    "ul",
    { class: "places" },
    ...answer.places.map(place),
    ...(more > 0 ? [element("li", {}, `and ${plural(more, "more place", "more places")}`)] : []),
  );
}

const NUMBERS = [
  ["Log p", (answer, model, i) => decimal(model.truth?.log_probability?.[i])],
  ["Rank", (answer, model, i) => count(model.truth?.rank?.[i])],
  ["Entropy", (answer, model, i) => decimal(model.truth?.entropy?.[i])],
  ["Margin", (answer, model, i) => decimal(model.truth?.margin?.[i])],
  ["Count", (answer, model, i) => count(answer.counts?.unigrams?.[i])],
  ["2-gram", (answer, model, i) => count(answer.counts?.bigrams?.[i])],
  ["3-gram", (answer, model, i) => count(answer.counts?.trigrams?.[i])],
];

/** Every position in a table: what the plots show, for those who read rather than look. */
export function numbers(answer, model) {
  const { context, continuation } = answer.cell;
  const hits = recited(model, continuation);
  const body = element("tbody");
  Array.from({ length: positionsOf(answer) }, (_, i) => {
    const own =
      i < context
        ? ""
        : hits[i - context]
          ? "recited"
          : (model.generated?.texts?.[i - context] ?? model.generated?.ids?.[i - context] ?? MISSING);
    body.append(
      element(
        "tr",
        {},
        element("th", { scope: "row", class: "number" }, count(i + 1)),
        element("td", { class: "word" }, appendText(element("span"), tokenText(tokenAt(answer, i) ?? MISSING))),
        element(
          "td",
          { class: "word" },
          own === "recited" || own === "" ? own : appendText(element("span"), tokenText(String(own))),
        ),
        ...NUMBERS.map(([, value]) => element("td", { class: "number" }, value(answer, model, i))),
      ),
    );
  });
  return element(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Numbers by position" },
    element(
      "table",
      { class: "numbers" },
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          ...["Token", "True", "Generated", ...NUMBERS.map(([name]) => name)].map((name) =>
            element("th", { scope: "col" }, name),
          ),
        ),
      ),
      body,
    ),
  );
}
