import { EamError } from '../../errors.js';

/**
 * What a fault says of the next try: `passing` ones may be gone by then, a `declined` request will be declined again,
 * and what is `wrong` is wrong for every other request, too.
 */
export type FaultKind = 'passing' | 'declined' | 'wrong';

/** Why one request came to nothing. */
export class Fault extends Error {
  constructor(
    readonly kind: FaultKind,
    message: string,
    options: ErrorOptions & {
      /** The header `retry-after` of the answer. */
      retryAfter?: string | null;
    } = {},
  ) {
    super(message, options);
    this.retryAfter = options.retryAfter ?? null;
  }
  readonly retryAfter: string | null;
}

/** A service whose answer is required and missing, or cannot be used. */
export class ServiceError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_SERVICE', message, options);
  }
}

/** The beginning of what a service wrote, on one line and in quotes. */
export function excerpt(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return JSON.stringify(line.length > 200 ? `${line.slice(0, 199)}…` : line);
}
