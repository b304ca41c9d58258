// What the page asks of the server. A newer request for the same purpose ends the older one.

const running = new Map();

/** The answer; null if a newer request took its place. Throws an Error with one line for people. */
export async function ask(path, params, purpose) {
  running.get(purpose)?.abort();
  const controller = new AbortController();
  running.set(purpose, controller);
  let response;
  try {
    response = await fetch(`${path}?${params}`, { signal: controller.signal });
    const body = await response.json();
    if (response.ok) return body;
    throw new Error(body.error ?? `The explorer answered ${response.status}.`);
  } catch (error) {
    if (controller.signal.aborted) return null;
    if (error instanceof TypeError)
      throw new Error(
        "The explorer does not answer. Start `mematlas explore` again and open the address that it prints.",
      );
    if (error instanceof SyntaxError)
      throw new Error(
        `The explorer's answer (${response.status}) is not JSON: open the address that \`mematlas explore\` printed.`,
      );
    throw error;
  }
}
