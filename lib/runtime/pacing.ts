import { setTimeout as sleep } from 'node:timers/promises';

/** Time and chance, as what asks a service knows them. */
export interface Pacing {
  /** Resolves after so many milliseconds; rejects as soon as `signal` is aborted. */
  wait(milliseconds: number, signal: AbortSignal): Promise<unknown>;
  /** A number in [0, 1), which spreads the retries of several clients. */
  random(): number;
  /** Milliseconds since 1970. */
  now(): number;
}

/** The machine's clock, and numbers that differ between processes. */
export const realPacing: Pacing = {
  wait: (milliseconds, signal) => sleep(milliseconds, undefined, { signal }),
  random: Math.random,
  now: Date.now,
};

/** Seconds that back-off grows to. */
const longestBackoff = 60;

/** Seconds to wait after so many tries: half to all of `first` · 2^(tries − 1), which is at most a minute. */
export const backoffAfter = (tries: number, first: number, random: number): number =>
  Math.min(longestBackoff, first * 2 ** (tries - 1)) * (0.5 + random / 2);

/**
 * Seconds that a header `retry-after` asks for, as a number or as a date (RFC 9110, 10.2.3).
 * @param now milliseconds since 1970
 * @returns undefined where there is none, or none that can be read
 */
export function secondsAsked(retryAfter: string | null, now: number): number | undefined {
  const text = retryAfter?.trim() ?? '';
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - now) / 1000);
}
