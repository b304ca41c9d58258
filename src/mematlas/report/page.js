"use strict";
let data;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function themeConfig(chart, theme, available) {
  const width = chart.panels === 1 ? Math.min(chart.max_width, available) : available;
  const config = structuredClone(data.themes[theme]);
  config.range.ordinal = data.ramps[theme][chart.levels];
  config.legend.columns = Math.max(1, Math.floor((width - 60) / (7 * chart.legend_letters + 44)));
  return config;
}

function withWidth(chart, width) {
  const specification = structuredClone(chart.specification);
  if (chart.panels === 1) {
    return { ...specification, width: Math.min(chart.max_width, width), autosize: { type: "fit-x", contains: "padding" } };
  }
  const fittingPanels = Math.max(1, Math.floor((width - 90) / (chart.min_width + chart.label_width + 20)));
  const columns = Math.ceil(chart.panels / Math.ceil(chart.panels / fittingPanels));
  specification.spec.width = Math.min(chart.max_width, Math.floor((width - 90) / columns) - 20 - chart.label_width);
  return { ...specification, columns };
}

function chosen(name, fallback) {
  const control = document.getElementById("choose-" + name);
  return control && fallback ? control.value || fallback : fallback;
}

function currentView(chart) { // of the chosen cell and model; the chart's own where it has no other
  return chart.views[chosen("cell", chart.cell) + "|" + chosen("model", chart.model)] || chart;
}

async function draw(container) {
  const chart = currentView(data.charts[container.dataset.chart]);
  container.closest("figure").querySelector(".figure-title").textContent = chart.title;
  const width = container.clientWidth;
  const theme = dark.matches ? "dark" : "light";
  const options = { renderer: "svg", actions: false, ast: true, config: themeConfig(chart, theme, width), tooltip: { theme } };
  const specification = withWidth(chart, width);
  let drawing = await vegaEmbed(container, specification, options);
  const excess = container.querySelector("svg").clientWidth - width;
  if (excess > 0 && specification.spec) { // long labels beside the panels
    specification.spec.width = Math.max(120, specification.spec.width - Math.ceil(excess / specification.columns));
    drawing = await vegaEmbed(container, specification, options);
  }
  drawing.view.addEventListener("click", (event, item) => showRowsBehind(container, chart, item?.datum ?? {}));
  container.dataset.width = String(width);
}

function showRowsBehind(container, chart, datum) { // a mark's rows: in the gallery, and the command that prints them
  const note = container.closest("figure").querySelector(".behind");
  const model = datum.model ?? chart.model;
  note.hidden = typeof model !== "string" || !model;
  if (note.hidden) return;
  const cell = (chart.cell || "").match(/^(\d+) \+ (\d+)$/) || [];
  const values = { model, context: datum.context ?? cell[1], continuation: datum.continuation ?? cell[2] };
  const options = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  const command = document.createElement("code");
  command.textContent = [note.dataset.command, ...options.map(([name, value]) => "--" + name + " " + shellWord(String(value)))].join(" ");
  note.replaceChildren("Rows behind this mark: ", command);
  const shown = [...document.querySelectorAll("#gallery .entry")].filter((entry) => entry.dataset.model === model);
  for (const [index, entry] of shown.slice(0, 8).entries()) {
    const link = document.createElement("a");
    link.href = "#row-" + entry.dataset.row;
    link.textContent = entry.dataset.row;
    note.append(index ? ", " : ". In the gallery: row ", link);
  }
}

function shellWord(text) {
  return /^[\w.,:/@+-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'";
}

async function decompress(name) { // compression halves the size of the page
  const bytes = Uint8Array.from(atob(document.getElementById(name).textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function load() {
  data = JSON.parse(await decompress("data"));
  const library = document.createElement("script");
  library.textContent = await decompress("library");
  document.head.append(library);
}

async function drawAll() {
  for (const container of document.querySelectorAll(".interactive")) {
    await draw(container).catch((error) => { container.textContent = "This chart could not be drawn: " + error.message; console.error(error); });
  }
  document.documentElement.dataset.drawn = String(document.querySelectorAll(".interactive svg").length);
}

function offerChoices() {
  for (const control of document.querySelectorAll(".choice select")) {
    control.disabled = false;
    control.addEventListener("change", async () => {
      document.getElementById("choice-note").hidden = [...document.querySelectorAll(".choice select")].every((each) => each.selectedIndex === 0);
      for (const container of document.querySelectorAll(".interactive")) {
        const chart = data.charts[container.dataset.chart];
        if (Object.keys(chart.views).length) await draw(container);
      }
    });
  }
}

let redrawTimer;
function scheduleRedraw() {
  clearTimeout(redrawTimer);
  if (window.vegaEmbed) redrawTimer = setTimeout(drawAll, 150);
}

for (const link of document.querySelectorAll(".download")) {
  const image = link.closest("figure").querySelector(".static");
  if (image) {
    link.href = image.src;
    link.hidden = false;
  }
}
const contents = document.querySelector(".contents details");
contents.open = window.matchMedia("(min-width: 64rem)").matches;
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth !== width) {
    width = window.innerWidth;
    if (window.matchMedia("(min-width: 64rem)").matches) contents.open = true;
    scheduleRedraw();
  }
});
dark.addEventListener("change", scheduleRedraw);
load().then(drawAll).then(offerChoices).catch((error) => { // a browser that cannot decompress shows the static images
  console.error(error);
  document.documentElement.classList.add("static-only");
});
