// Texts of a corpus as people can see them: signs that are invisible, or that turn the direction of a line, are spelled out.

import { element } from "./dom.js";

const SIGNS = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u00a0\u2000-\u200a\u202f\u205f\u3000]/gu;
const EMOJI_STYLE = "\ufe0f"; // changes how the sign before it is drawn, and hides nothing
const NAMES = {
  "\u00a0": "no-break space",
  "\u00ad": "soft hyphen",
  "\u061c": "Arabic letter mark",
  "\u200b": "zero-width space",
  "\u200c": "zero-width non-joiner",
  "\u200d": "zero-width joiner",
  "\u200e": "left-to-right mark",
  "\u200f": "right-to-left mark",
  "\u202a": "left-to-right embedding",
  "\u202b": "right-to-left embedding",
  "\u202c": "end of direction",
  "\u202d": "left-to-right override",
  "\u202e": "right-to-left override",
  "\u2060": "word joiner",
  "\u2066": "left-to-right isolate",
  "\u2067": "right-to-left isolate",
  "\u2068": "isolate",
  "\u2069": "end of isolate",
  "\u001b": "escape",
  "\u0000": "null",
  "\ufeff": "byte-order mark",
};

function spelled(sign) {
  if (sign === "\n") return "⏎";
  if (sign === "\t") return "⇥";
  return "U+" + sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

/** [text, whether it stands for a sign] of each part of a text. */
function parts(text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(SIGNS)) {
    if (match[0] === EMOJI_STYLE) continue;
    if (match.index > end) found.push([text.slice(end, match.index), null]);
    found.push([spelled(match[0]), match[0]]);
    end = match.index + match[0].length;
  }
  if (end < text.length) found.push([text.slice(end), null]);
  return found;
}

/** Puts a text into an element; `breaks`: a line break of the text begins a line. */
export function appendText(parent, text, breaks = false) {
  for (const [shown, sign] of parts(text)) {
    if (sign === null) {
      parent.append(shown);
    } else {
      parent.append(
        element("span", { class: sign === "\n" || sign === "\t" ? "sign" : "sign odd", title: NAMES[sign] }, shown),
      );
      if (breaks && sign === "\n") parent.append("\n");
    }
  }
  return parent;
}

/** The same, with every occurrence of `searched` marked, whatever its case. */
export function appendMarked(parent, text, searched) {
  const wanted = searched.toLowerCase();
  const folded = text.toLowerCase();
  if (!wanted || folded.length !== text.length) return appendText(parent, text);
  let end = 0;
  for (let at = folded.indexOf(wanted); at >= 0; at = folded.indexOf(wanted, end)) {
    appendText(parent, text.slice(end, at));
    parent.append(appendText(element("mark"), text.slice(at, at + wanted.length)));
    end = at + wanted.length;
  }
  return appendText(parent, text.slice(end));
}

/** A token alone: a space at its beginning or end is seen. */
export function tokenText(text) {
  if (text === "") return "∅";
  return text.replace(/^ +| +$/g, (spaces) => (spaces.length > 3 ? `␣×${spaces.length}` : "␣".repeat(spaces.length)));
}

/** How many characters of a fixed-width font a token takes. */
export function tokenWidth(text) {
  let width = 0;
  for (const [shown] of parts(tokenText(text))) {
    for (const sign of shown)
      width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60\u{1f300}-\u{1faff}]/u.test(sign)
        ? 2
        : 1;
  }
  return width;
}

/** The last `length` characters, with an ellipsis where something was cut; a character is never cut in two. */
export function tail(text, length) {
  const signs = Array.from(text);
  return signs.length > length ? "…" + signs.slice(-length).join("") : text;
}
