// The strip plot: how the selection is spread over tokens right. A bar selects its rows, a drag a range.

import { byId, element } from "./dom.js";
import { count, plural } from "./numbers.js";
import * as view from "./view.js";

let begun = null; // index of the bar where a drag or a range began

/** 0 to 4: the level of so many tokens right, as everywhere in mematlas. */
export function levelOf(matches, continuation) {
  return Math.min(4, Math.floor((5 * matches) / continuation));
}

function inRange(value) {
  const low = view.get("matches_min");
  const high = view.get("matches_max");
  return (low === null || value >= Number(low)) && (high === null || value <= Number(high));
}

function chooseRange(bars, i, j) {
  const [low, high] = [bars[Math.min(i, j)].value, bars[Math.max(i, j)].value];
  const same = view.get("matches_min") === String(low) && view.get("matches_max") === String(high);
  view.change(
    same ? { matches_min: null, matches_max: null } : { matches_min: String(low), matches_max: String(high) },
  );
}

function chooseLevel(value) {
  const chosen = view.all("level");
  view.change({ level: chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value] });
}

function barsOf(answer) {
  if (answer.by === "level") {
    const bins = answer.bins.filter((bin) => bin.level !== null);
    return bins.map((bin, i) => ({
      value: bin.level,
      n: bin.n,
      label: bin.level,
      level: Math.round((4 * i) / Math.max(1, bins.length - 1)),
      chosen: !view.all("level").length || view.all("level").includes(bin.level),
    }));
  }
  const n = new Map(answer.bins.map((bin) => [bin.matches, bin.n]));
  return Array.from({ length: answer.continuation + 1 }, (_, value) => ({
    value,
    n: n.get(value) ?? 0,
    label: `${value} of ${answer.continuation} tokens right`,
    level: levelOf(value, answer.continuation),
    chosen: inRange(value),
  }));
}

function button(bars, i, byLevel, tallest, readout) {
  const bar = bars[i];
  const choose = (event) => {
    if (byLevel) return chooseLevel(bar.value);
    chooseRange(bars, event.shiftKey && begun !== null ? begun : i, i);
    if (!event.shiftKey) begun = i;
  };
  return element("button", {
    type: "button",
    class: `bin level-${bar.level}${bar.n ? "" : " none"}${bar.chosen ? "" : " out"}`,
    "--height": `${bar.n ? Math.max(3, 100 * Math.sqrt(bar.n / tallest)) : 0}%`,
    tabindex: -1,
    "aria-pressed": String(bar.chosen),
    "aria-label": `${bar.label}: ${plural(bar.n, "row")}`,
    "data-index": i,
    keydown: (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        choose(event);
      }
    },
    click: (event) => {
      if (event.detail === 0) choose(event);
    }, // pressed by a program that reads the page aloud
    pointerdown: (event) => {
      if (!event.shiftKey) begun = i;
      event.currentTarget.releasePointerCapture?.(event.pointerId);
    },
    pointerup: () => {
      if (byLevel) chooseLevel(bar.value);
      else if (begun !== null) chooseRange(bars, begun, i);
    },
    pointerenter: () => readout(bar),
    focus: () => readout(bar),
  });
}

function move(box, event) {
  const bins = [...box.querySelectorAll(".bin")];
  const at = bins.indexOf(document.activeElement);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bins.length - 1 }[event.key];
  if (at < 0 || to === undefined || !bins[to]) return;
  event.preventDefault();
  bins[at].tabIndex = -1;
  bins[to].tabIndex = 0;
  bins[to].focus();
}

/** Draws the answer of /api/strip; the focused bar keeps its focus. */
export function show(answer) {
  const box = byId("strip");
  const byLevel = answer.by === "level";
  const bars = barsOf(answer);
  const focused = box.contains(document.activeElement) ? document.activeElement.dataset.index : undefined;
  const unmeasured = answer.bins.find((bin) => bin[answer.by] === null)?.n ?? 0;
  const total = bars.reduce((sum, bar) => sum + bar.n, 0);
  const title = element("p", { class: "strip-title" });
  const readout = (bar) =>
    title.replaceChildren(
      element("strong", {}, bar.label),
      `: ${plural(bar.n, "row")}, ${total ? ((100 * bar.n) / total).toFixed(1) : 0} %`,
    );
  const rest = () =>
    title.replaceChildren(
      byLevel ? "Rows by level" : `Matches, 0 to ${count(answer.continuation)}`,
      element(
        "span",
        { class: "soft" },
        `${answer.searched && !answer.searched.complete ? ` · of the first ${count(answer.searched.rows)} rows` : ""}${unmeasured ? ` · ${count(unmeasured)} not measured` : ""} · square-root heights · click or drag to select`,
      ),
    );
  const tallest = Math.max(1, ...bars.map((bar) => bar.n));
  const bins = bars.map((_, i) => button(bars, i, byLevel, tallest, readout));
  (bins[focused ?? 0] ?? bins[0]).tabIndex = 0;
  const group = element(
    "div",
    {
      class: "bins",
      role: "group",
      "aria-label": byLevel
        ? "Rows by level; arrow keys move, Enter selects"
        : "Rows by matches; arrow keys move, Enter selects, Shift and Enter select a range",
      keydown: (event) => move(box, event),
      pointerleave: rest,
    },
    ...bins,
  );
  box.replaceChildren(title, group);
  rest();
  if (focused !== undefined) bins[focused]?.focus();
}
