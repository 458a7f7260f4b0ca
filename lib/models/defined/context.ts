import { EamError, isError } from '../../errors.js';

/** The error of a function of a definition, which says which function threw it. */
function told(where: string, error: unknown): Error {
  if (!isError(error)) return new EamError('ERR_EAM_MODEL', `${where} threw ${String(error)}`, { cause: error });
  if (!error.message.startsWith(where)) error.message = `${where}: ${error.message}`;
  return error;
}

/** Does work of a definition, whose errors say which of its functions threw. */
export function inContextSync<Result>(where: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw told(where, error);
  }
}

/** Does what {@link inContextSync} does, for work that may be asynchronous. */
export async function inContext<Result>(where: string, work: () => Result): Promise<Awaited<Result>> {
  try {
    return await work();
  } catch (error) {
    throw told(where, error);
  }
}
