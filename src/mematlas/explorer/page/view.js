// The view is its address: all that is chosen stands after the #, so that it can be shared, reloaded and gone back from.

/** What concerns the page alone, and is not part of the selection of rows. */
const PAGE_ONLY = ["row", "shown", "shade", "columns"];
const NOT_FILTERS = [...PAGE_ONLY, "model", "context", "continuation", "compare", "sort", "descending", "offset"];
const TYPING = 3000; // milliseconds within which changes of one input are one step of the history

let params = new URLSearchParams(location.hash.slice(1));
let defaults = {};
let last = { key: null, time: 0 };
const listeners = [];

export function setDefaults(values) {
  defaults = values;
}

export function get(name) {
  return params.get(name) ?? defaults[name] ?? null;
}

export function all(name) {
  return params.getAll(name);
}

/** Names of the filters in force. */
export function filterNames() {
  return [...new Set(params.keys())].filter((name) => !NOT_FILTERS.includes(name));
}

function changed(changes) {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== "") next.append(name, one);
    }
  }
  const pageOnly = Object.keys(changes).every((name) => PAGE_ONLY.includes(name) || name === "offset");
  if (!pageOnly) next.delete("offset");
  return next;
}

/** The address of the view with these changes; null takes a value away. */
export function address(changes) {
  return `#${changed(changes)}`;
}

/** Changes the view. Changes of the same key in short order, as of typing, are one step of the history. */
export function change(changes, key = null) {
  const next = changed(changes);
  if (String(next) === String(params)) return;
  const now = Date.now();
  const joined = key !== null && key === last.key && now - last.time < TYPING;
  last = { key, time: now };
  history[joined ? "replaceState" : "pushState"](null, "", `#${next}`);
  params = next;
  notify();
}

/** All filters are taken away, except those that are given. */
export function restart(changes = {}) {
  change({
    ...Object.fromEntries([...filterNames(), "compare", "sort", "descending"].map((name) => [name, null])),
    ...changes,
  });
}

/** Everything is taken away: the view that the page has without an address. */
export function startOver() {
  change(Object.fromEntries([...params.keys()].map((name) => [name, null])));
}

/** What the server is asked for: the selection without what concerns the page alone. */
export function selection(without = []) {
  const asked = new URLSearchParams();
  for (const name of Object.keys(defaults)) {
    if (get(name) !== null && !without.includes(name)) asked.set(name, get(name));
  }
  for (const [name, value] of params) {
    if (!PAGE_ONLY.includes(name) && !without.includes(name) && !(name in defaults)) asked.append(name, value);
  }
  return asked;
}

export function onChange(listener) {
  listeners.push(listener);
}

function notify() {
  for (const listener of listeners) listener();
}

window.addEventListener("popstate", () => {
  const now = new URLSearchParams(location.hash.slice(1));
  if (String(now) === String(params)) return;
  params = now;
  last = { key: null, time: 0 };
  notify();
});
