// Numbers as people write them.

const WHOLE = new Intl.NumberFormat("en");
const SIGNIFICANT = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
export const MISSING = "–";

export function count(number) {
  return number === null || number === undefined ? MISSING : minus(WHOLE.format(number));
}

/** Three significant digits; powers of ten where a number is tiny or huge. */
export function decimal(number) {
  if (number === null || number === undefined) return MISSING;
  const size = Math.abs(number);
  if (size !== 0 && (size < 0.001 || size >= 1e7)) return power(number);
  return minus(SIGNIFICANT.format(number));
}

export function percent(share) {
  if (share === null || share === undefined) return MISSING;
  if (share > 0 && share < 0.001) return "<\u00a00.1\u00a0%";
  if (share < 1 && share > 0.999) return ">\u00a099.9\u00a0%";
  const digits = share < 0.1 || share > 0.99 ? 1 : 0;
  return `${(100 * share).toFixed(digits).replace(/\.0$/, "")}\u00a0%`;
}

/** "+3", "−3", "0": a difference. */
export function difference(number) {
  return number > 0 ? `+${decimal(number)}` : decimal(number);
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** 1.2 M, 350 k: sizes of models. */
export function short(number) {
  for (const [unit, size] of [
    ["T", 1e12],
    ["B", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ]) {
    if (number >= size) return `${SIGNIFICANT.format(number / size)} ${unit}`;
  }
  return WHOLE.format(number);
}

function power(number) {
  const [digits, exponent] = number.toExponential(1).split("e");
  const raised = String(Number(exponent)).replace(/[-\d]/g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
  return `${minus(digits)} × 10${raised}`;
}

function minus(text) {
  return text.replace("-", "−");
}
