// What stands in the place of a row before one is opened: questions to begin with, what the study found, and what it lacks.

import { byId, element, prose, reasoned } from "./dom.js";
import * as view from "./view.js";

const LACKS = {
  tokens: "Tokens",
  truth: "Signals along the true text",
  free: "Signals along the model's own text",
  texts: "Texts",
  counts: "Counts of n-grams",
  places: "Places in the corpus",
  predictions: "Predictions",
};

/** [question, changes of the view, fields it needs]; models are in the family's order, controls left out. */
function questions(study) {
  const family = study.models.filter((model) => !model.is_control).map((model) => model.label);
  const [before, last] = family.slice(-2);
  const length = view.get("continuation");
  const recited = { recited: "yes" };
  const pair = family.length > 1 ? { model: before, compare: last, sort: "change" } : null;
  return [
    ["Which rows are recited in full?", { ...recited, sort: "repetitions", descending: "1" }, ["recited"]],
    [
      "Which of them were seldom seen?",
      { ...recited, sort: "repetitions", descending: "0" },
      ["recited", "repetitions"],
    ],
    [
      "Which rows are almost recited?",
      { verbatim_max: String(Number(length) - 1), sort: "verbatim", descending: "1" },
      ["verbatim"],
    ],
    [
      "What did the bigger model forget?",
      { ...recited, ...pair, change_max: "-0.01", descending: "0" },
      ["recited", "change"],
      pair,
    ],
    ["What does only the bigger model recite?", { ...pair, change_min: "0.01", descending: "1" }, ["change"], pair],
    ["Where is the prediction most wrong?", { ...recited, sort: "risk", descending: "0" }, ["recited", "risk"]],
    [
      "Is text recited that no model saw?",
      { ...recited, role: "control", sort: "margin", descending: "1" },
      ["recited", "role"],
    ],
  ]
    .filter(
      ([, , needed, possible = true]) =>
        possible && needed.every((name) => study.fields.some((field) => field.name === name && !field.unavailable)),
    )
    .filter(([, changes]) => changes.role === undefined || study.roles.includes(changes.role));
}

function lacking(study) {
  const titles = new Map(); // reason -> what it concerns
  for (const [name, title] of Object.entries(LACKS)) {
    const reason = study.has[name];
    if (reason) titles.set(reason, [...(titles.get(reason) ?? []), titles.has(reason) ? title.toLowerCase() : title]);
  }
  if (!titles.size) return [];
  const list = element("dl", { class: "lacking" });
  for (const [reason, concerned] of titles)
    list.append(element("dt", {}, concerned.join(", ")), element("dd", {}, reasoned(reason)));
  return [element("h3", {}, "Not in this study"), list];
}

/** Fills the pane of the row while none is open. */
export function show(study) {
  const list = element("ul", { class: "questions" });
  for (const [text, changes] of questions(study)) {
    list.append(
      element(
        "li",
        {},
        element("button", { type: "button", class: "question", click: () => view.restart(changes) }, text),
      ),
    );
  }
  const found = study.findings.map((finding) =>
    finding.headline
      ? element("li", {}, element("span", { class: "soft" }, `${finding.title}: `), prose(finding.headline))
      : element("li", {}, finding.title),
  );
  byId("detail").replaceChildren(
    element(
      "div",
      { class: "body start" },
      element("h2", {}, "Begin with a question"),
      list,
      element(
        "p",
        { class: "soft" },
        "Or open a row: its tokens, its models and its places in the corpus then stand here. ",
        element("kbd", {}, "↑"),
        " ",
        element("kbd", {}, "↓"),
        " move, ",
        element("kbd", {}, "Enter"),
        " opens, ",
        element("kbd", {}, "Esc"),
        " closes.",
      ),
      ...(found.length ? [element("h3", {}, "What the study found"), element("ul", { class: "found" }, ...found)] : []),
      ...lacking(study),
    ),
  );
}
