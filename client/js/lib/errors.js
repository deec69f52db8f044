/** Errors, by what a caller does about them; and how an answer becomes one. */

const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Characters of a foreign answer, such as a proxy's page, that an error shows. */
const MAX_DETAIL = 300;

/** What went wrong, in the words of the server's problem document (RFC 9457). */
export class QueueyError extends Error {
  constructor(detail, members = {}) {
    super(detail);
    this.detail = detail;
    this.code = "no-answer";
    this.status = null;
    this.retryable = false;
    this.applied = "no";
    this.errors = [];
    this.requestId = null;
    this.retryAfter = null;
    this.limit = null;
    this.problem = {};
    this.attempts = 1;
    Object.assign(this, members);
    this.message = `${this.code}: ${detail}`;
  }

  get name() {
    return this.constructor.errorName;
  }

  static errorName = "QueueyError";
}

/** The request is wrong, and stays wrong: mend the program (400, 405, 409, 413 to 416, 422, 431). */
export class Invalid extends QueueyError {
  static errorName = "Invalid";
}

/** The key or token is wrong, or does not allow this (401, 403). */
export class NotAllowed extends QueueyError {
  static errorName = "NotAllowed";
}

/** There is no such application, queue, group or message (404). */
export class NotFound extends QueueyError {
  static errorName = "NotFound";
}

/** Another client was quicker: read it again, and decide again (409 `conflict`, 412). */
export class Changed extends QueueyError {
  static errorName = "Changed";
}

/** The store, or a queue like this, cannot promise that (409 `not-promised`). */
export class NotPromised extends QueueyError {
  static errorName = "NotPromised";
}

/** A rate or a quota was met, and retries did not help within the deadline (429, 507). */
export class Limited extends QueueyError {
  static errorName = "Limited";
}

/** The server could not be reached or did not answer in time; `applied` says what is known (408, 5xx). */
export class Unavailable extends QueueyError {
  static errorName = "Unavailable";
}

/** The queue was deleted and made again (410); `oldest` is a cursor that goes on in the new queue. */
export class QueueReplaced extends QueueyError {
  static errorName = "QueueReplaced";

  get oldest() {
    return String(this.problem.oldest ?? "");
  }
}

/** Messages that a reader had not come to are gone; `first` is a cursor just before those that are left. */
export class Gap extends QueueyError {
  static errorName = "Gap";
}

/** Some receipts changed nothing, and the other settlements were applied (409 `stale-receipts`). */
export class Stale extends QueueyError {
  static errorName = "Stale";
  outcomes = [];

  /** The receipts that changed nothing. */
  get stale() {
    return this.outcomes.filter(([, outcome]) => isLost(outcome)).map(([receipt]) => receipt);
  }
}

/** Thrown by the transport: the request was not answered, or not to the end. */
export class NoAnswer extends Error {
  /**
   * @param detail why.
   * @param sent whether the server may have seen the request.
   * @param final whether another attempt cannot help.
   */
  constructor(detail, sent = true, final = false) {
    super(detail);
    this.sent = sent;
    this.final = final;
  }
}

/** Whether an outcome says that the lease has passed to another worker. */
export function isLost(outcome) {
  return outcome === "stale" || outcome === "invalid";
}

const BY_CODE = {
  conflict: Changed,
  "key-in-use": Unavailable,
  "not-promised": NotPromised,
  "queue-replaced": QueueReplaced,
  "stale-receipts": Stale,
};
const BY_STATUS = {
  401: NotAllowed,
  403: NotAllowed,
  404: NotFound,
  408: Unavailable,
  412: Changed,
  429: Limited,
  507: Limited,
};

/** The class for an answer: by its code, else by its status. */
function kindOf(status, code) {
  if (Object.hasOwn(BY_CODE, code)) return BY_CODE[code];
  return BY_STATUS[status] ?? (status >= 500 || status < 400 ? Unavailable : Invalid);
}

/**
 * Make an error of an answer that is no success.
 *
 * An answer without a problem document comes from something before the server, such as a proxy. With 5xx it is unknown
 * whether the request was done, and it may succeed later.
 */
export function errorOf(answer) {
  const problem = problemOf(answer);
  const foreign = problem === null;
  const { status } = answer;
  const code = String(problem?.code ?? `http-${status}`);
  const error = new (kindOf(status, code))(String(problem?.detail ?? problem?.title ?? excerpt(answer)), {
    code,
    status,
    retryable: foreign ? status === 408 || status === 429 || status >= 500 : problem.retryable === true,
    applied: foreign && status >= 500 ? "unknown" : String(problem?.applied ?? "no"),
    errors: Array.isArray(problem?.errors) ? problem.errors : [],
    requestId: answer.headers.get("x-request-id"),
    retryAfter: retryAfterOf(answer.headers),
    limit: problem?.limit ?? null,
    problem: problem ?? {},
  });
  if (error instanceof Stale) error.outcomes = outcomesOf(error.problem);
  return error;
}

/** Make the error of a problem document that did not come as an answer. */
export function errorOfProblem(problem) {
  const headers = new Headers({ "Content-Type": "application/problem+json" });
  const body = new TextEncoder().encode(JSON.stringify(problem));
  return errorOf({ status: Number(problem.status ?? 500), headers, body });
}

/**
 * Make an error of a success that is not Queuey's, or not all of it; `null` if it may be used.
 *
 * A proxy that does not say where an answer ends may send half of one. A write may have been done all the same.
 */
export function successError(method, answer) {
  // A message that was read by its id may be of any type.
  if (!answer.body?.length || answer.headers.get("queuey-id")) return null;
  const { status } = answer;
  const text = new TextDecoder().decode(answer.body).trim();
  if ((answer.headers.get("content-type") ?? "").startsWith("application/json") && !/[}\]]$/.test(text)) {
    return new Unavailable(`the answer of status ${status} was cut`, { status, retryable: true, applied: "unknown" });
  }
  if (method === "GET" || /^[{[]/.test(text)) return null;
  const detail = `the answer is not Queuey's: ${excerpt(answer)}`;
  return new Unavailable(detail, { code: "foreign-answer", status, applied: "unknown" });
}

/** Make the error of a request that was not answered. */
export function noAnswer(lost) {
  return new Unavailable(lost.message, { retryable: !lost.final, applied: lost.sent ? "unknown" : "no" });
}

/** Read the outcomes of settlements: pairs of a receipt and its outcome. */
export function outcomesOf(document) {
  return (document.outcomes ?? []).map(({ receipt, outcome }) => [receipt, outcome]);
}

/** Read the problem document of an answer; `null` if there is none. */
function problemOf(answer) {
  if (!(answer.headers.get("content-type") ?? "").includes("json")) return null;
  try {
    const found = JSON.parse(new TextDecoder().decode(answer.body));
    // Proxies and gateways send JSON with a code too; what was applied only Queuey says.
    return typeof found?.code === "string" && typeof found.applied === "string" ? found : null;
  } catch {
    return null;
  }
}

/**
 * Read `Retry-After`: seconds, or the date that some proxies send. It is compared with the `Date` of the answer, because
 * clocks of machines differ.
 */
function retryAfterOf(headers) {
  const text = (headers.get("retry-after") ?? "").trim();
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const until = HTTP_DATE.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(until)) return null;
  const sent = Date.parse(headers.get("date") ?? "");
  return Math.max(0, (until - (Number.isNaN(sent) ? Date.now() : sent)) / 1000);
}

function excerpt(answer) {
  const text = new TextDecoder()
    .decode(answer.body.subarray(0, 4 * MAX_DETAIL))
    .replace(/\s+/g, " ")
    .trim();
  return text ? `status ${answer.status}: ${text.slice(0, MAX_DETAIL)}` : `status ${answer.status}`;
}
