import { setMaxListeners } from 'node:events';

import { Fault } from './faults.js';
import { backoffAfter, secondsAsked, type Pacing } from '../../runtime/pacing.js';

/** How long and how often a request is tried. */
export interface Patience {
  /** Seconds a try may take. */
  timeout: number;
  /** Tries after the first. */
  retries: number;
  /** Seconds before the second try, about. */
  backoff: number;
  /** Seconds that a service may ask to be left alone. */
  maxWait: number;
}

/** What {@link retried} throws once it gives up. */
export class GaveUp extends Error {
  constructor(
    readonly fault: Fault,
    readonly tries: number,
  ) {
    super(fault.message, { cause: fault });
  }
}

/**
 * Does `work` until it succeeds, with pauses that grow, as long as its faults are passing ones.
 * @param onTry told before each try, from 1
 * @throws GaveUp; what else `work` throws; the signal's reason, at once
 */
export async function retried<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  patience: Patience,
  { pacing, signal, onTry }: { pacing: Pacing; signal: AbortSignal; onTry: (tries: number) => void },
): Promise<Result> {
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted();
    onTry(tries);
    try {
      return await inTime(work, patience.timeout, { pacing, signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Fault)) throw error;
      if (error.kind !== 'passing' || tries > patience.retries) throw new GaveUp(error, tries);
      await pacing.wait(1000 * pauseAfter(error, tries, patience, pacing), signal).catch((problem: unknown) => {
        signal.throwIfAborted();
        throw problem;
      });
    }
  }
}

function pauseAfter(fault: Fault, tries: number, { backoff, maxWait }: Patience, pacing: Pacing): number {
  const asked = secondsAsked(fault.retryAfter, pacing.now()) ?? 0;
  if (asked > maxWait) {
    const wish = `it asks to be left alone for ${Math.ceil(asked)} s, longer than maxWait, ${maxWait} s`;
    throw new GaveUp(new Fault('passing', `${fault.message}; ${wish}`, { cause: fault }), tries);
  }
  return Math.max(asked, backoffAfter(tries, backoff, pacing.random()));
}

async function inTime<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  seconds: number,
  { pacing, signal }: { pacing: Pacing; signal: AbortSignal },
): Promise<Result> {
  const trial = new AbortController();
  const done = new AbortController();
  const stop = () => trial.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  setMaxListeners(0, trial.signal);
  pacing.wait(1000 * seconds, done.signal).then(
    () => trial.abort(new Fault('passing', `no answer within ${seconds} s`)),
    () => {},
  );
  try {
    return await work(trial.signal);
  } catch (error) {
    // Whatever was thrown, it was for that.
    trial.signal.throwIfAborted();
    throw error;
  } finally {
    done.abort();
    signal.removeEventListener('abort', stop);
  }
}
