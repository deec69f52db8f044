// Calls of methods, and the stream of numbers. The token is in memory, and in sessionStorage only if a box is ticked.

const STORED = "queuey-token";
let token = null;
let onSignedOut = () => {};

export const storedToken = () => sessionStorage.getItem(STORED);

export function setToken(text, store) {
  token = text;
  if (store && text !== null) sessionStorage.setItem(STORED, text);
  else sessionStorage.removeItem(STORED);
}

/** Call a function when the daemon refuses the token. */
export function whenSignedOut(work) {
  onSignedOut = work;
}

/** The error of a call; `code` is a stable word. */
export class CallError extends Error {
  constructor(text, code, data) {
    super(text);
    this.code = code;
    this.data = data || {};
  }
}

const options = { cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" };

async function refusalOf(response) {
  const document = await response.json().catch(() => null);
  const error = document?.error;
  const failed = new CallError(error?.message || `The answer was ${response.status}.`, error?.data?.code || "failed");
  failed.status = response.status;
  return failed;
}

function signOutIf(error) {
  if (error.status === 401) {
    setToken(null);
    onSignedOut(error.message);
  }
  return error;
}

let number = 0;

/** Call a method and return its result. */
export async function call(method, params = {}) {
  number += 1;
  let response;
  try {
    response = await fetch("/rpc", {
      ...options,
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: number, method, params }),
    });
  } catch {
    throw new CallError("The daemon does not answer.", "unreachable");
  }
  if (!response.ok) throw signOutIf(await refusalOf(response));
  const { result, error } = await response.json();
  if (error) throw new CallError(error.message, error.data?.code, error.data);
  return result;
}

/** The stream of numbers: it repeats some calls, and begins again when it breaks. It rests while the page is hidden. */
export class Live {
  constructor(calls, onAnswers, onState) {
    this.calls = calls;
    this.onAnswers = onAnswers;
    this.onState = onState;
    this.controller = null;
    this.timer = null;
    this.ended = false;
    this.failures = 0;
    this.onVisibility = () => (document.hidden ? this.rest() : this.begin());
    document.addEventListener("visibilitychange", this.onVisibility);
    this.begin();
  }

  end() {
    this.ended = true;
    document.removeEventListener("visibilitychange", this.onVisibility);
    this.rest();
  }

  rest() {
    clearTimeout(this.timer);
    this.controller?.abort();
    this.controller = null;
    if (!this.ended) this.onState("paused");
  }

  begin() {
    if (this.ended || this.controller || document.hidden) return;
    const controller = (this.controller = new AbortController());
    this.run(controller)
      .catch((error) => error)
      .then((error) => {
        if (this.controller !== controller) return;
        this.controller = null;
        if (this.ended) return;
        this.failures += 1;
        this.onState("broken", error?.message);
        this.timer = setTimeout(() => this.begin(), Math.min(10000, 500 * 2 ** this.failures));
      });
  }

  async run(controller) {
    const response = await fetch(`/live?calls=${encodeURIComponent(JSON.stringify(this.calls))}`, {
      ...options,
      headers: { Authorization: `Bearer ${token}` },
      signal: controller.signal,
    });
    if (!response.ok) throw signOutIf(await refusalOf(response));
    const answers = this.calls.map(() => null);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
        this.take(text.slice(0, end), answers);
      }
    }
  }

  take(block, answers) {
    const data = block.split("\n").find((line) => line.startsWith("data: "));
    if (!data || !block.startsWith("event: numbers")) return;
    const { at, answers: given } = JSON.parse(data.slice(6));
    given.forEach((answer, index) => {
      if (answer !== null) answers[index] = answer;
    });
    this.failures = 0;
    this.onState("live", null, at);
    this.onAnswers(answers);
  }
}
