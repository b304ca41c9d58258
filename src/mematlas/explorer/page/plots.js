// Small plots of one row's signals along its positions, one above the other on the same axis.

import { element, shape } from "./dom.js";
import { count, decimal } from "./numbers.js";
import { hitClass, positionsOf, recited } from "./tokens.js";

const LEFT = 44;
const RIGHT = 54; // room for the names of lines
const HEIGHT = 58;
const TOP = 6;

function scaleOf(values, { logarithmic = false, least = null, most = null }) {
  const known = values.flat().filter((value) => value !== null && value !== undefined);
  let [low, high] = [least ?? Math.min(...known), most ?? Math.max(...known)];
  if (least === 0) high = Math.max(high, 0.01);
  if (most === 0) low = Math.min(low, -0.1);
  if (logarithmic) [low, high] = [0, Math.log10(Math.max(10, high + 1))];
  if (!(high > low)) high = low + 1;
  const place = (value) =>
    TOP +
    (HEIGHT - TOP) * (1 - ((logarithmic ? Math.log10(value + (least === 0 ? 1 : 0)) : value) - low) / (high - low));
  return { low, high, place, logarithmic, shifted: least === 0 };
}

function ticksOf(scale) {
  if (scale.logarithmic) {
    const step = Math.max(1, Math.ceil(scale.high / 3));
    const powers = Array.from({ length: Math.floor(scale.high / step) + 1 }, (_, i) => 10 ** (i * step));
    return scale.shifted ? [0, ...powers.slice(1)] : powers;
  }
  const raw = (scale.high - scale.low) / 2;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((one) => one >= 0.7 * raw);
  const ticks = [];
  for (let tick = Math.ceil(scale.low / step) * step; tick <= scale.high + step / 1e6; tick += step)
    ticks.push(Math.abs(tick) < step / 1e6 ? 0 : tick);
  return ticks;
}

function path(values, begin, x, scale) {
  let drawing = "";
  let pen = false;
  values.forEach((value, i) => {
    if (value === null || value === undefined) {
      pen = false;
      return;
    }
    drawing += `${pen ? "L" : "M"}${x(begin + i).toFixed(1)},${scale.place(value).toFixed(1)}`;
    pen = true;
  });
  return drawing;
}

function apart(labels) {
  // names of lines that end at the same height are moved apart
  labels.sort((a, b) => a.y - b.y);
  for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + 12);
  const over = (labels.at(-1)?.y ?? 0) - HEIGHT;
  if (over > 0) for (const label of labels) label.y -= over;
  return labels;
}

function frame(axis, scale, isLast) {
  const { x, positions, boundary, width } = axis;
  const parts = ticksOf(scale).flatMap((tick) => [
    shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: scale.place(tick), y2: scale.place(tick) }),
    shape(
      "text",
      { class: "tick", x: LEFT - 6, y: scale.place(tick) + 4, "text-anchor": "end" },
      Math.abs(tick) >= 1e5
        ? decimal(tick / 1e6) + " M"
        : Math.abs(tick) >= 1000
          ? decimal(tick / 1000) + " k"
          : decimal(tick),
    ),
  ]);
  const edge = x(boundary - 0.5);
  parts.push(shape("line", { class: "edge", x1: edge, x2: edge, y1: 0, y2: HEIGHT }));
  if (isLast) {
    for (const position of new Set([0, boundary, positions - 1])) {
      parts.push(
        shape(
          "text",
          {
            class: "tick",
            x: x(position),
            y: HEIGHT + 16,
            "text-anchor": position === 0 ? "start" : position === positions - 1 ? "end" : "middle",
          },
          count(position + 1),
        ),
      );
    }
  }
  return parts;
}

function figure(axis, { title, unit, lines, scale: options, said, isLast }) {
  const scale = scaleOf(
    lines.map((line) => line.values),
    options ?? {},
  );
  const height = HEIGHT + (isLast ? 22 : 4);
  const svg = shape("svg", { width: axis.width, height, role: "img", "aria-label": said, "data-plot": title });
  svg.append(...frame(axis, scale, isLast));
  const names = [];
  for (const line of lines) {
    svg.append(shape("path", { class: `line ${line.class}`, d: path(line.values, line.begin ?? 0, axis.x, scale) }));
    const last = line.values.findLastIndex((value) => value !== null && value !== undefined);
    if (line.name && last >= 0)
      names.push({ y: scale.place(line.values[last]) + 4, name: line.name, class: line.class });
  }
  for (const name of apart(names))
    svg.append(shape("text", { class: `name ${name.class}`, x: axis.width - RIGHT + 6, y: name.y }, name.name));
  svg.append(shape("line", { class: "cursor", x1: -9, x2: -9, y1: 0, y2: HEIGHT }));
  return element(
    "figure",
    {},
    element("figcaption", {}, element("strong", {}, title), unit ? element("span", { class: "soft" }, ` ${unit}`) : ""),
    svg,
  );
}

function range(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? `from ${decimal(Math.min(...known))} to ${decimal(Math.max(...known))}` : "not measured";
}

function signal(axis, answer, model, [name, title, unit, options]) {
  const others = answer.models
    .filter((other) => other !== model && other.truth?.[name])
    .map((other) => ({ values: other.truth[name], class: "other" }));
  const own =
    name !== "rank" && model.generated?.[name]
      ? [{ values: model.generated[name], begin: answer.cell.context, class: "own", name: "own text" }]
      : [];
  const truth = model.truth?.[name] ? [{ values: model.truth[name], class: "focus", name: "true text" }] : [];
  if (!truth.length && !own.length) return null;
  return figure(axis, {
    title,
    unit,
    lines: [...others, ...own, ...truth],
    scale: options,
    said: `${title} of ${model.label} along the true text, ${range(model.truth?.[name] ?? [])}`,
  });
}

function counts(axis, answer, isLast) {
  const lines = [
    ["unigrams", "token", "n1"],
    ["bigrams", "2-gram", "n2"],
    ["trigrams", "3-gram", "n3"],
  ]
    .filter(([name]) => answer.counts?.[name])
    .map(([name, label, line]) => ({ values: answer.counts[name], class: line, name: label }));
  if (!lines.length) return null;
  return figure(axis, {
    title: "Occurrences in the corpus",
    unit: "of the n-gram that ends here",
    lines,
    scale: { logarithmic: true, least: 0 },
    isLast,
    said: `Occurrences in the corpus of the token ${range(lines[0].values)}`,
  });
}

function predicted(axis, answer, model) {
  if (!model.predicted) return null;
  const scale = scaleOf([[0, 1]], { least: 0, most: 1 });
  const svg = shape("svg", {
    width: axis.width,
    height: HEIGHT + 4,
    role: "img",
    "data-plot": "Predicted",
    "aria-label": `Predicted probability that each token is recited, ${range(model.predicted)}`,
  });
  svg.append(...frame(axis, scale, false));
  const hits = recited(model, answer.cell.continuation);
  const step = axis.x(1) - axis.x(0);
  model.predicted.forEach((value, i) => {
    if (value !== null)
      svg.append(
        shape("rect", {
          class: `bar ${hitClass(hits[i])}`,
          x: axis.x(answer.cell.context + i) - step * 0.4,
          width: step * 0.8,
          y: scale.place(value),
          height: Math.max(1, HEIGHT - scale.place(value)),
        }),
      );
  });
  svg.append(shape("line", { class: "cursor", x1: -9, x2: -9, y1: 0, y2: HEIGHT }));
  return element(
    "figure",
    {},
    element(
      "figcaption",
      {},
      element("strong", {}, "Predicted"),
      element("span", { class: "soft" }, " probability to be recited; colour: whether it was"),
    ),
    svg,
  );
}

const SIGNALS = [
  ["log_probability", "Log-probability", "nats", { most: 0 }],
  ["entropy", "Entropy", "nats", { least: 0 }],
  ["rank", "Rank of the true token", "logarithmic", { logarithmic: true }],
  ["margin", "Margin", "logits, first choice less second", { least: 0 }],
];

/** The plots of one model, as wide as there is room; null where nothing was measured. */
export function plots(answer, model, width) {
  const positions = positionsOf(answer);
  const x = (position) => LEFT + ((position + 0.5) / positions) * (width - LEFT - RIGHT);
  const axis = { x, positions, boundary: answer.cell.context, width };
  const all = [
    ...SIGNALS.map((one) => signal(axis, answer, model, one)),
    predicted(axis, answer, model),
    counts(axis, answer, true),
  ].filter(Boolean);
  if (!all.length) return null;
  const ends = element(
    "p",
    { class: "ends", "aria-hidden": "true", "--edge": `${x(axis.boundary - 0.5)}px` },
    element("span", {}, "context"),
    element("span", {}, "continuation"),
  );
  const box = element("div", { class: "plots" }, ends, ...all);
  box.positionAt = (clientX) =>
    Math.min(
      positions - 1,
      Math.max(
        0,
        Math.round(((clientX - box.getBoundingClientRect().left - LEFT) / (width - LEFT - RIGHT)) * positions - 0.5),
      ),
    );
  box.moveTo = (position) => {
    for (const line of box.querySelectorAll(".cursor"))
      for (const end of ["x1", "x2"]) line.setAttribute(end, x(position));
  };
  return box;
}
