// The true text, and under each token what every model wrote instead. Lines are cut to the width there is.

import { element, unseen } from "./dom.js";
import { plural } from "./numbers.js";
import { appendText, tokenText, tokenWidth } from "./text.js";
import { hitClass, recited, shortLabels, tokenAt } from "./tokens.js";

const MOST = 10; // models in a table
const LONGEST = 18; // characters of one token that are shown

/** What stands in a cell; a token without a text is its id. */
function written(texts, ids, i) {
  return texts?.[i] ?? (ids?.[i] === undefined || ids?.[i] === null ? null : String(ids[i]));
}

/** Of a long family the models next to the shown one, in their order. */
function nearest(models, shown) {
  const at = models.findIndex((model) => model.label === shown);
  const begin = Math.max(0, Math.min(at - MOST / 2, models.length - MOST));
  return models.slice(begin, begin + MOST);
}

function columnsOf(answer, models) {
  const { context, continuation } = answer.cell;
  const hits = models.map((model) => recited(model, continuation));
  return Array.from({ length: continuation }, (_, i) => {
    const truth = tokenAt(answer, context + i) ?? "?";
    const own = models.map((model, m) =>
      hits[m][i] === true ? null : written(model.generated?.texts, model.generated?.ids, i),
    );
    const width = Math.min(LONGEST, Math.max(...[truth, ...own].filter((text) => text !== null).map(tokenWidth), 1));
    return { position: context + i, truth, own, hits: hits.map((model) => model[i]), width };
  });
}

/** Columns in lines of at most `room` characters. */
function linesOf(columns, room) {
  const lines = [[]];
  let used = 0;
  for (const column of columns) {
    if (used + column.width + 1 > room && lines.at(-1).length) {
      lines.push([]);
      used = 0;
    }
    lines.at(-1).push(column);
    used += column.width + 1;
  }
  return lines;
}

function cell(column, m) {
  const hit = column.hits[m];
  const box = element("td", { class: `own ${hitClass(hit)}`, "data-position": column.position });
  if (hit === true) box.append(unseen("recited"));
  else if (column.own[m] !== null) box.append(appendText(element("span"), tokenText(column.own[m])));
  else box.append(unseen(hit === false ? "missed" : "not measured"));
  return box;
}

function table(answer, models, line, controls, short) {
  const first = line[0].position - answer.cell.context + 1;
  const truth = element(
    "tr",
    { class: "truth" },
    element("th", { scope: "row" }, "true text"),
    ...line.map((column) =>
      element("td", { "data-position": column.position }, appendText(element("span"), tokenText(column.truth))),
    ),
  );
  const own = models.map((model, m) =>
    element(
      "tr",
      { class: controls.has(model.label) ? "control" : null },
      element("th", { scope: "row", title: model.label }, short.get(model.label)),
      ...line.map((column) => cell(column, m)),
    ),
  );
  return element(
    "table",
    { class: "aligned", "aria-label": `Tokens ${first} to ${first + line.length - 1} of the continuation` },
    element("tbody", {}, truth, ...own),
  );
}

/** One table a line; a recited token is a bar, another one is spelled out. `shown`: label of the model that is looked at. */
export function aligned(answer, shown, width, controls) {
  const models = nearest(answer.models, shown);
  const short = shortLabels(answer.models);
  const character = 7.3; // pixels of the fixed-width font of these tables
  const label = Math.min(11, Math.max(9, ...[...short.values()].map((label) => label.length))) * character + 14;
  const room = Math.max(16, Math.floor((width - label) / character));
  const lines = linesOf(columnsOf(answer, models), room).map((line) => table(answer, models, line, controls, short));
  const left = answer.models.length - models.length;
  return element(
    "div",
    { class: "lines", "--label": `${label}px` },
    ...lines,
    left
      ? element("p", { class: "reason" }, `${plural(left, "more model")}: choose one above to see those next to it.`)
      : null,
  );
}
