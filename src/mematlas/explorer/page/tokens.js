// A row's tokens: the true text, coloured by what was recited and shaded by a signal; and the family's models, a line each.

import { element, unseen } from "./dom.js";
import { count, MISSING, plural } from "./numbers.js";
import { appendText } from "./text.js";

/** What tokens can be shaded by: [name, label, what a strong shade means]. */
export const SHADES = [
  ["log_probability", "Log-probability", "more probable"],
  ["rank", "Rank", "nearer to rank 1"],
  ["entropy", "Entropy", "less certain"],
  ["margin", "Margin", "clearer of the second choice"],
];

/** 0 to 1: how strong a token's shade is; null where nothing was measured. `most`: the largest value of the row. */
export function strength(shade, value, most) {
  if (value === null || value === undefined) return null;
  if (shade === "log_probability") return Math.exp(value);
  if (shade === "rank") return 1 / (1 + Math.log10(value));
  return most > 0 ? Math.max(0, value) / most : 0;
}

export function largest(values) {
  return Math.max(0, ...values.filter((value) => value !== null));
}

/** Whether the model recited the token at each position of the continuation; from the verbatim length where only that was measured. */
export function recited(model, continuation) {
  if (model.hit) return model.hit;
  const known = model.verbatim;
  if (known === null || known === undefined) return Array(continuation).fill(null);
  return Array.from({ length: continuation }, (_, i) => (i < known ? true : i === known ? false : null));
}

/** Label -> what of it tells the models apart: parts between separators that all have, at the same place, are left out. */
export function shortLabels(models) {
  const parts = models.map((model) => model.label.split(/(?=[-_./])/));
  const shortest = Math.min(...parts.map((one) => one.length));
  const shared = (at) => models.length > 1 && parts.every((one) => one.at(at) === parts[0].at(at));
  let [begin, end] = [0, 0];
  while (begin < shortest - 1 && shared(begin)) begin += 1;
  while (begin + end < shortest - 1 && shared(-1 - end)) end += 1;
  const isAligned = parts.every((one) => one.length === shortest);
  const differs = (_, at) => !(isAligned && shared(begin + at));
  const short = (one) => {
    const middle = one.slice(begin, one.length - end);
    const kept = middle.length > 1 ? middle.filter(differs) : middle;
    return (kept.length ? kept : middle).join("").replace(/^[-_./]/, "");
  };
  return new Map(models.map((model, i) => [model.label, short(parts[i])]));
}

export function hitClass(hit) {
  return hit === null || hit === undefined ? "unknown" : hit ? "hit" : "miss";
}

/** The text of the true token at a position, else its id, else null. */
export function tokenAt(answer, position) {
  const { texts, ids } = answer.tokens ?? {};
  return texts?.[position] ?? (ids?.[position] === undefined ? null : String(ids[position]));
}

/** How many positions the row has at this cell. */
export function positionsOf(answer) {
  return answer.cell.context + answer.cell.continuation;
}

function tokenSpan(answer, position, hit, shade) {
  const text = tokenAt(answer, position);
  const span = element("span", {
    class: `token ${hit}`,
    "data-position": position,
    "--p": shade === null ? null : `${Math.round(100 * shade)}%`,
  });
  return answer.tokens.texts ? appendText(span, text, true) : fillWithId(span, text);
}

function fillWithId(span, id) {
  span.append(`${id} `);
  return span;
}

/** The true text of the row under one model: the context, a mark at its end, the continuation. */
export function trueText(answer, model, shade) {
  const { context, continuation } = answer.cell;
  const hits = recited(model, continuation);
  const values = model.truth?.[shade] ?? [];
  const most = largest(values);
  const spans = answer.tokens.ids.map((_, position) =>
    tokenSpan(
      answer,
      position,
      position < context ? "given" : hitClass(hits[position - context]),
      strength(shade, values[position] ?? null, most),
    ),
  );
  const box = element("div", {
    class: "tokens",
    tabindex: 0,
    role: "group",
    "data-walk": true,
    "aria-label": `True text of ${spans.length} tokens, coloured for ${model.label}. Left and right arrow read it token by token.`,
  });
  box.append(
    ...spans.slice(0, context),
    element("span", { class: "boundary", "aria-hidden": "true" }),
    unseen(" The continuation begins here: "),
    ...spans.slice(context),
  );
  return box;
}

/** The colours in words, and what a strong shade means. */
export function key(shade, hasTruth) {
  const [, , meaning] = SHADES.find(([name]) => name === shade);
  return element(
    "p",
    { class: "key" },
    element(
      "span",
      { class: "tokens" },
      element("span", { class: "token given", "--p": "30%" }, "context"),
      " ",
      element("span", { class: "token hit", "--p": "60%" }, "recited"),
      " ",
      element("span", { class: "token miss", "--p": "60%" }, "missed"),
    ),
    hasTruth ? `; stronger shade: ${meaning}` : "",
  );
}

function barcode(answer, model) {
  const { context, continuation } = answer.cell;
  const cells = recited(model, continuation).map((hit, i) =>
    element("span", { class: `cell ${hitClass(hit)}`, "data-position": context + i }),
  );
  const said =
    model.matches === null
      ? (model.reason ?? "not measured")
      : `${model.matches} of ${continuation} tokens right, ${model.verbatim} before the first miss`;
  return element("span", { class: "barcode", role: "img", "aria-label": said }, ...cells);
}

/** All models of the family under each other: which tokens each recites. A press shows that model's signals. */
export function family(answer, shown, choose, labels) {
  const { continuation } = answer.cell;
  const body = element("tbody");
  const missing = new Set(); // reasons
  const short = shortLabels(answer.models);
  for (const model of answer.models) {
    const current = model.label === shown;
    const name = element(
      "button",
      {
        type: "button",
        class: "model",
        "aria-pressed": String(current),
        "data-model": model.label,
        title: model.label,
        click: () => choose(model.label),
      },
      short.get(model.label),
    );
    const isMeasured = model.matches !== null && model.matches !== undefined;
    if (!isMeasured) missing.add(model.reason ?? "no reason is recorded");
    body.append(
      element(
        "tr",
        { class: `${current ? "current" : ""}${labels.controls.has(model.label) ? " control" : ""}` },
        element("th", { scope: "row" }, name),
        element("td", { class: "bars" }, barcode(answer, model)),
        element("td", { class: "number" }, isMeasured ? count(model.matches) : (model.level ?? MISSING)),
        element("td", { class: "number" }, count(model.verbatim)),
      ),
    );
  }
  return element(
    "div",
    { class: "models" },
    element(
      "table",
      { class: "family", "aria-label": `What each model recites of the ${plural(continuation, "token")}` },
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          element("th", { scope: "col" }, "Model"),
          element("th", { scope: "col" }, plural(continuation, "token")),
          element("th", { scope: "col", class: "number" }, "Matches"),
          element("th", { scope: "col", class: "number" }, "Verbatim"),
        ),
      ),
      body,
    ),
    ...[...missing].map((reason) => element("p", { class: "reason" }, `Not measured: ${reason}`)),
  );
}
