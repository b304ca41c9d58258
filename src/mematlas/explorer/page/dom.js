// Elements are made here, and every text becomes a text node: nothing of a corpus is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An element; attributes that are functions listen to the event of their name, and those that begin with -- are CSS variables. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An element of an SVG picture. */
export function shape(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

export function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A reason as a sentence. */
export function reasoned(text) {
  return prose(capitalised(String(text)));
}

/** A sentence, with `commands` set as code. */
export function prose(sentence) {
  const fragment = document.createDocumentFragment();
  String(sentence)
    .split("`")
    .forEach((part, i) => {
      if (part) fragment.append(i % 2 ? element("code", {}, part) : part);
    });
  return fragment;
}

/** Text for screen readers alone. */
export function unseen(text) {
  return element("span", { class: "unseen" }, text);
}

/** `run` is called once, after the calls have paused for this many milliseconds. */
export function afterPause(milliseconds, run) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...values), milliseconds);
  };
}
