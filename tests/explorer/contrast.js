// Texts of the page whose contrast with what is painted behind them is less than 4.5 (WCAG AA): [how many were looked at, the poor ones].
const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", {
  willReadFrequently: true,
});
const paint = (color) => {
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = (rgb) =>
  rgb
    .slice(0, 3)
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const poor = [];
let looked = 0;
for (const node of document.querySelectorAll("body *")) {
  const written = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  if (
    !written ||
    !node.checkVisibility() ||
    node.closest(".unseen, .unavailable, :disabled, option, svg, noscript") ||
    node.closest("label")?.querySelector(":disabled")
  )
    continue;
  const layers = [];
  for (let one = node; one; one = one.parentElement) layers.unshift(getComputedStyle(one).backgroundColor);
  const back = light(["#fff", ...layers].map(paint).at(-1));
  const front = light(paint(getComputedStyle(node).color));
  const ratio = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
  looked += 1;
  if (ratio < 4.5)
    poor.push(`${node.tagName}.${node.className} "${node.textContent.slice(0, 20)}": ${ratio.toFixed(2)}`);
}
return [looked, [...new Set(poor)]];
