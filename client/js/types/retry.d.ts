/** When requests are sent again. */

import type { QueueyError } from "./errors.js";

export interface RetryOptions {
  /** Seconds from the first attempt on; no attempt begins later. 60. */
  deadline?: number;
  /** The longest first pause. 0.1. */
  least?: number;
  /** The longest pause. 10. */
  most?: number;
  /** Which part of a client's requests may be repeats, beyond ten at once and one a second. 0.2. */
  budget?: number;
  /** Asked about each error that would be tried again; `false` throws it. */
  on?: (error: QueueyError) => boolean;
}

/** When requests are sent again. */
export class Retry {
  constructor(options?: RetryOptions);
  /** For callers who repeat themselves. */
  static readonly never: Retry;
}
