// Why the package refuses something.
import { expect } from 'vitest';

import { EamError } from '../../lib/errors.js';

/** The message of the error of class `kind` that `work` rejects with. */
export async function failure<E extends EamError>(
  kind: new (...args: never[]) => E,
  work: Promise<unknown>,
): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(kind);
  return (error as Error).message;
}

/** The message of the EamError that `work` rejects with. */
export const refusal = (work: Promise<unknown>): Promise<string> => failure(EamError, work);
