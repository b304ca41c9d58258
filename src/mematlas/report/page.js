"use strict";
let data;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function configured(chart, theme, available) {
  const width = chart.panels === 1 ? Math.min(chart.widest, available) : available;
  const config = structuredClone(data.themes[theme]);
  config.range.ordinal = data.ramps[theme][chart.levels];
  config.legend.columns = Math.max(1, Math.floor((width - 60) / (7 * chart.legend + 44)));
  return config;
}

function sized(chart, width) {
  const specification = structuredClone(chart.specification);
  if (chart.panels === 1) {
    return { ...specification, width: Math.min(chart.widest, width), autosize: { type: "fit-x", contains: "padding" } };
  }
  const fitting = Math.max(1, Math.floor((width - 90) / (chart.narrowest + 20)));
  const columns = Math.ceil(chart.panels / Math.ceil(chart.panels / fitting));
  specification.spec.width = Math.min(chart.widest, Math.floor((width - 90) / columns) - 20);
  return { ...specification, columns };
}

async function draw(place) {
  const chart = data.charts[place.dataset.chart];
  const width = place.clientWidth;
  const theme = dark.matches ? "dark" : "light";
  const options = { renderer: "svg", actions: false, ast: true, config: configured(chart, theme, width), tooltip: { theme } };
  const specification = sized(chart, width);
  await vegaEmbed(place, specification, options);
  const over = place.querySelector("svg").clientWidth - width;
  if (over > 0 && specification.spec) { // long labels beside the panels
    specification.spec.width = Math.max(120, specification.spec.width - Math.ceil(over / specification.columns));
    await vegaEmbed(place, specification, options);
  }
  place.dataset.width = String(width);
}

async function unpack(name) { // packed, the page takes half as much
  const bytes = Uint8Array.from(atob(document.getElementById(name).textContent), (sign) => sign.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function load() {
  data = JSON.parse(await unpack("data"));
  const library = document.createElement("script");
  library.textContent = await unpack("library");
  document.head.append(library);
}

async function drawAll() {
  for (const place of document.querySelectorAll(".live")) {
    await draw(place).catch((error) => { place.textContent = "This chart could not be drawn: " + error.message; console.error(error); });
  }
  document.documentElement.dataset.drawn = String(document.querySelectorAll(".live svg").length);
}

let waiting;
function soon() {
  clearTimeout(waiting);
  if (window.vegaEmbed) waiting = setTimeout(drawAll, 150);
}

for (const link of document.querySelectorAll(".download")) {
  const still = link.closest("figure").querySelector(".still");
  if (still) {
    link.href = still.src;
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
    soon();
  }
});
dark.addEventListener("change", soon);
const closed = new Set();
window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    closed.add(part);
    part.open = true;
  }
});
window.addEventListener("afterprint", () => {
  for (const part of closed) part.open = false;
  closed.clear();
});
load().then(drawAll).catch((error) => { // a browser that cannot unpack shows the still pictures
  console.error(error);
  document.documentElement.classList.add("stills");
});
