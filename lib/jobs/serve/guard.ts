// Who may see a run's page: whoever has its address, and no page of another site through a browser that has it.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';

/** 128 random bits for an address. */
export const newToken = (): string => randomBytes(16).toString('base64url');

/** Compares in a time that tells nothing of where two texts differ. */
export function isToken(given: string, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

/**
 * Whether a request names this server by a name that nobody else can point here. A page of another site whose own name
 * suddenly leads to this machine (DNS rebinding) is known by the name that it still asks for.
 * @param given the header `host`
 * @param bound the host that the server was told to listen on
 */
export function isOwnHost(given: string | undefined, bound: string): boolean {
  const name = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(given ?? '');
  const host = (name?.[1] ?? name?.[2])?.toLowerCase();
  if (!host) return false;
  return isIP(host) > 0 || host === 'localhost' || host === bound.toLowerCase() || host === hostname().toLowerCase();
}

/** Whether a request that changes something comes from the server's own page, or from no page at all. */
export function isOwnOrigin({ headers: { origin, host } }: IncomingMessage): boolean {
  return origin === undefined || origin === `http://${host}` || origin === `https://${host}`;
}

/** Headers of every answer: nothing is kept, framed, sniffed, or told to other sites. */
export const safeHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};
