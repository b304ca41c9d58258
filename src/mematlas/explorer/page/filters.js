// The filters: one typed field for each thing that is known of a row. What a study lacks is greyed, with the reason.

import { afterPause, byId, capitalised, element, reasoned } from "./dom.js";
import { count, decimal } from "./numbers.js";
import * as view from "./view.js";

const GROUPS = [
  ["How much is recited", ["recited", "level", "matches", "verbatim", "margin"]],
  ["Change between two models", ["change"]],
  ["In the corpus", ["repetitions", "copies", "kind", "role", "source", "document", "row"]],
  ["Predicted", ["risk"]],
];
const inputs = []; // [parameter, input]: what is set again when the view changes

export function labelOf(field) {
  return capitalised(field.label ?? field.name);
}

function remember(parameter, input) {
  inputs.push([parameter, input]);
  return input;
}

function limit(field, side) {
  const parameter = `${field.name}_${side}`;
  const bound = side === "min" ? field.minimum : field.maximum;
  const send = () => {
    if (input.checkValidity()) view.change({ [parameter]: input.value }, parameter);
  };
  const input = element("input", {
    type: "number",
    step: field.type === "integer" ? 1 : "any",
    placeholder: bound === null || bound === undefined ? "" : String(Number(bound.toPrecision(3))),
    "aria-label": `${labelOf(field)}, ${side === "min" ? "at least" : "at most"}`,
    name: parameter,
    input: afterPause(300, send),
    change: send,
  });
  return remember(parameter, input);
}

function choice(field) {
  const send = () =>
    view.change({ [field.name]: [...box.querySelectorAll("input:checked")].map((input) => input.value) });
  const box = element("div", { class: field.choices.length > 8 ? "choices many" : "choices" });
  for (const value of field.choices) {
    const input = element("input", { type: "checkbox", value, name: field.name, change: send });
    box.append(element("label", {}, remember(field.name, input), element("span", {}, String(value))));
  }
  return box;
}

function textInput(field) {
  const send = () => view.change({ [field.name]: input.value }, field.name);
  const input = element("input", {
    type: "text",
    name: field.name,
    "aria-label": labelOf(field),
    autocomplete: "off",
    spellcheck: "false",
    input: afterPause(300, send),
  });
  return remember(field.name, input);
}

function fieldOf(field, showsReason) {
  const id = `field-${field.name}`;
  const box = element(
    "div",
    { class: `field ${field.type}`, role: "group", "aria-labelledby": id, "data-field": field.name },
    element("span", { id, class: "name", title: field.meaning }, labelOf(field)),
  );
  if (field.type === "choice" && field.choices) box.append(choice(field));
  else if (field.type === "choice" || field.type === "text") box.append(textInput(field));
  else
    box.append(
      element(
        "span",
        { class: "range" },
        limit(field, "min"),
        element("span", { "aria-hidden": "true" }, "–"),
        limit(field, "max"),
      ),
    );
  if (field.unavailable) grey(box, field.unavailable, showsReason);
  return box;
}

/** A field that cannot be used: greyed, and its reason stands below unless the next field has the same. */
function grey(box, reason, showsReason = true) {
  box.classList.add("unavailable");
  for (const input of box.querySelectorAll("input")) input.disabled = true;
  box.append(element("p", { class: showsReason ? "reason" : "reason unseen" }, reasoned(reason)));
}

/** The changes of the view that end a comparison, and all that needs it. */
export function alone() {
  return {
    compare: null,
    change_min: null,
    change_max: null,
    ...(view.get("sort") === "change" ? { sort: null, descending: null } : {}),
  };
}

function compareField(study) {
  const select = element("select", {
    id: "compare",
    "aria-label": "Model to compare with",
    change: () => view.change(select.value ? { compare: select.value } : alone()),
  });
  select.append(element("option", { value: "" }, "no other model"));
  for (const model of study.models) select.append(element("option", { value: model.label }, model.label));
  const only = study.models.length < 2;
  const box = element(
    "div",
    { class: "field compare", "data-field": "compare" },
    element("label", { class: "name", for: "compare" }, "Compare with"),
    select,
  );
  if (only) {
    select.disabled = true;
    grey(box, "This study has one model: score another one with the same `--study`.");
  }
  inputs.push(["compare", select]);
  return box;
}

function groupOf(title, fields, study) {
  const box = element("fieldset", {}, element("legend", {}, title));
  if (title === GROUPS[1][0]) box.append(compareField(study));
  fields.forEach((field, i) => box.append(fieldOf(field, fields[i + 1]?.unavailable !== field.unavailable)));
  return box;
}

function searchField(study) {
  const send = () => view.change({ search: input.value }, "search");
  const input = element("input", {
    type: "search",
    id: "search",
    name: "search",
    placeholder: "words as they stand in the text",
    autocomplete: "off",
    spellcheck: "false",
    input: afterPause(350, send),
    change: send,
  });
  const box = element(
    "div",
    { class: "field search", "data-field": "search" },
    element("label", { class: "name", for: "search" }, "Search in the texts"),
    remember("search", input),
  );
  if (study.has.tokens) grey(box, study.has.tokens);
  return box;
}

/** Builds the form once; `sync` keeps it in step with the view. */
export function build(study) {
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(searchField(study));
  const known = GROUPS.flatMap(([, names]) => names);
  const others = study.fields.filter((field) => !known.includes(field.name));
  for (const [title, names] of [...GROUPS, ["More", others.map((field) => field.name)]]) {
    const fields = names.map((name) => study.fields.find((field) => field.name === name)).filter(Boolean);
    if (fields.length) form.append(groupOf(title, fields, study));
  }
  const toggle = byId("filters-toggle");
  toggle.addEventListener("click", () => {
    const open = toggle.getAttribute("aria-expanded") !== "true";
    toggle.setAttribute("aria-expanded", String(open));
    form.classList.toggle("open", open);
  });
  sync(study);
}

/** Sets the inputs to the view, but for the one that is being typed in. */
export function sync(study) {
  for (const [parameter, input] of inputs) {
    if (input.type === "checkbox") input.checked = view.all(parameter).includes(input.value);
    else if (input !== document.activeElement || input.tagName === "SELECT") input.value = view.get(parameter) ?? "";
  }
  const change = document.querySelector('[data-field="change"]');
  const single = !view.get("compare");
  if (change && study.models.length > 1) {
    change.classList.toggle("unavailable", single);
    for (const input of change.querySelectorAll("input")) input.disabled = single;
  }
  for (const option of document.querySelectorAll("#compare option"))
    option.disabled = option.value !== "" && option.value === view.get("model");
  showChips(study);
}

function phrase(study, name) {
  if (name === "search") return `text has “${view.get("search")}”`;
  const [, stem, side] = name.match(/^(.*)_(min|max)$/) ?? [null, name, null];
  const field = study.fields.find((one) => one.name === stem);
  const label = field ? labelOf(field).toLowerCase() : stem;
  if (side === null) return `${label}: ${view.all(name).join(" or ")}`;
  const value = Number(view.get(name));
  const written = Number.isFinite(value) ? (field?.type === "integer" ? count(value) : decimal(value)) : view.get(name);
  return `${label} ${side === "min" ? "≥" : "≤"} ${written}`;
}

function chip(text, without) {
  return element(
    "li",
    {},
    element(
      "button",
      {
        type: "button",
        class: "chip",
        "aria-label": `Take away the filter: ${text}`,
        click: () => view.change(without),
      },
      text,
      element("span", { "aria-hidden": "true" }, " ×"),
    ),
  );
}

function showChips(study) {
  const names = view.filterNames();
  const chips = names.map((name) => chip(phrase(study, name), { [name]: null }));
  if (view.get("compare")) chips.push(chip(`compared with ${view.get("compare")}`, alone()));
  if (chips.length > 1)
    chips.push(
      element("li", {}, element("button", { type: "button", class: "link", click: () => view.restart() }, "Clear all")),
    );
  byId("chips").replaceChildren(...chips);
  byId("chips").hidden = !chips.length;
  byId("filters-toggle").textContent = names.length ? `Filters (${names.length})` : "Filters";
}
