// The selection as a file, and the command that goes on with it.

import { byId, element, prose } from "./dom.js";
import * as view from "./view.js";

const FORMATS = [
  ["csv", "CSV", "rows.csv", "the table, for a spreadsheet"],
  ["parquet", "Parquet", "rows.parquet", "the table, for polars and pandas"],
  ["ids", "Row ids", "rows.ids.txt", "one id a line, for the next command"],
];

function copyButton(text) {
  const button = element("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  });
  return button;
}

function code(text) {
  return element("pre", { class: "command", tabindex: 0 }, element("code", {}, text));
}

function fill(sheet, study) {
  const links = FORMATS.map(([format, label, name, meaning]) => {
    const asked = view.selection(["offset"]);
    asked.set("format", format);
    return element(
      "li",
      {},
      element("a", { class: "button", href: `/api/export?${asked}`, download: name, "data-format": format }, label),
      element("span", { class: "soft" }, meaning),
    );
  });
  const command = study.next_command?.replace("{file}", FORMATS[2][2]);
  sheet.replaceChildren(
    element("p", { class: "soft" }, "All rows of the selection, in this order."),
    element("ul", { class: "formats" }, ...links),
    element("h3", {}, "Score these rows again"),
    ...(command
      ? [code(command), copyButton(command)]
      : [element("p", { class: "soft" }, prose("Give the file of row ids to a command: `--rows ids:rows.ids.txt`."))]),
    ...(study.polars_note
      ? [element("h3", {}, "In Python"), code(study.polars_note), copyButton(study.polars_note)]
      : []),
    element("h3", {}, "Share this view"),
    element("p", { class: "soft" }, "The address of this page holds the whole view."),
    copyButton(location.href),
  );
}

/** Fills the menu whenever it opens, so that it always speaks of the selection in view. */
export function build(study) {
  const menu = byId("export");
  menu.addEventListener("toggle", () => {
    if (menu.open) fill(menu.querySelector(".sheet"), study);
  });
  view.onChange(() => {
    if (menu.open) fill(menu.querySelector(".sheet"), study);
  });
}
