// How the hub is asked: with the token, through the proxy of the environment, and again where it is busy.

import { setMaxListeners } from 'node:events';

import { getProxyForUrl } from 'proxy-from-env';
import type { ProxyAgent } from 'undici';

import { isError } from '../../errors.js';
import { backoffAfter, realPacing, secondsAsked, type Pacing } from '../../runtime/pacing.js';
import { withoutValue } from '../../schema/secrets.js';
import { HubError } from './error.js';
import { refusal, type Asked } from './refusal.js';
import type { HubSettings } from './settings.js';

/** What every job on the hub is given. */
export interface HubOptions {
  /** Stops what is under way; what has been fetched is kept. */
  signal?: AbortSignal | undefined;
  /** It is told what happens. */
  report?: ((line: string) => void) | undefined;
  /** Time and chance; default: the machine's. */
  pacing?: Pacing | undefined;
}

/** One repository of a hub, and how it is asked. */
export interface Hub {
  settings: HubSettings;
  asked: Asked;
  /** Throws HubError for every refusal; it waits and tries again where the hub is busy or the connection fails. */
  fetch: typeof fetch;
  /** Waits before try number `tries` + 1. @throws HubError where the hub asks for longer than that is worth */
  pause(tries: number, why: string, seconds?: number): Promise<void>;
}

/** Tries after the first. */
export const mostRetries = 5;
/** Seconds before the second try, about. */
const firstPause = 1;
/** Seconds that the hub may ask to be left alone; its limits are counted over five minutes. */
const longestPause = 330;

/** Opens a repository of the hub; nothing is asked yet. */
export function openHub(settings: HubSettings, asked: Asked, options: HubOptions): Hub {
  const { signal, report = () => {}, pacing = realPacing } = options;
  const never = new AbortController().signal;
  if (signal) setMaxListeners(0, signal);
  const pause = async (tries: number, why: string, seconds?: number) => {
    if (seconds !== undefined && seconds > longestPause)
      throw new HubError(`${why}; it asks to be left alone for ${Math.ceil(seconds)} s: run this again then`);
    const wait = Math.max(seconds ?? 0, backoffAfter(tries, firstPause, pacing.random()));
    report(`${why}: trying again in ${Math.ceil(wait)} s`);
    await pacing.wait(1000 * wait, signal ?? never).catch((problem: unknown) => {
      signal?.throwIfAborted();
      throw problem;
    });
  };
  const hub: Hub = { settings, asked, pause, fetch: request };
  async function request(input: Parameters<typeof fetch>[0], init: RequestInit = {}): Promise<Response> {
    const url = new URL(input instanceof Request ? input.url : input);
    const isPost = init.method === 'POST';
    for (let tries = 1; ; tries++) {
      signal?.throwIfAborted();
      let response: Response;
      try {
        response = await send(url, { ...init, headers: headersFor(url, init, settings), signal: signal ?? null });
      } catch (error) {
        signal?.throwIfAborted();
        const why = `the connection to ${url.host} failed: ${reasonOf(error)}`;
        // What was posted may have arrived.
        if (isPost || tries > mostRetries) throw new HubError(why, { cause: error });
        await pause(tries, why);
        continue;
      }
      if (response.ok) return response;
      const isBusy = [429, 503].includes(response.status) || (!isPost && response.status >= 500);
      if (!isBusy || tries > mostRetries) throw await refused(response, new URL(response.url || url), hub);
      await response.body?.cancel().catch(() => {});
      await pause(
        tries,
        `${new URL(response.url || url).host} answered ${response.status}`,
        secondsToWait(response.headers, pacing),
      );
    }
  }
  return hub;
}

/** The hub's own requests carry the token; those to where it redirects to, or has files uploaded to, do not. */
function headersFor(url: URL, init: RequestInit, { endpoint, token }: HubSettings): Headers {
  const headers = new Headers(init.headers);
  headers.delete('authorization');
  if (token && url.origin === new URL(endpoint).origin) headers.set('authorization', `Bearer ${token.value}`);
  return headers;
}

/** One agent for each proxy, so that connections through it are used again. */
const agents = new Map<string, ProxyAgent>();

async function send(url: URL, init: RequestInit): Promise<Response> {
  const proxy = getProxyForUrl(url.href);
  if (!proxy) return fetch(url, init);
  // Node's own fetch reads no proxy from the environment before Node 24.
  const undici = await import('undici');
  const dispatcher = agents.get(proxy) ?? new undici.ProxyAgent(proxy);
  agents.set(proxy, dispatcher);
  return undici.fetch(url, { ...init, dispatcher } as never) as unknown as Promise<Response>;
}

/** What a failed fetch says is "fetch failed"; why stands in its cause. */
export function reasonOf(error: unknown): string {
  const { cause } = error as Error;
  const { code, message } = (isError(cause) ? cause : error) as NodeJS.ErrnoException;
  return message || code || String(error);
}

/** `retry-after`, or the seconds that the hub's `ratelimit` has (draft-ietf-httpapi-ratelimit-headers: `t=55`). */
function secondsToWait(headers: Headers, pacing: Pacing): number | undefined {
  const left = /\bt=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1];
  return secondsAsked(headers.get('retry-after'), pacing.now()) ?? (left === undefined ? undefined : Number(left));
}

/** Characters of an answer's text that a message repeats. */
const longestWords = 300;

async function refused(response: Response, url: URL, { settings, asked }: Hub): Promise<HubError> {
  const text = await response.text().catch(() => '');
  const clean = (words: string) =>
    (settings.token ? withoutValue(words, settings.token.value, settings.token.source) : words)
      .replace(/\s+/g, ' ')
      .trim()
      .slice(0, longestWords);
  const said = clean(response.headers.get('x-error-message') ?? wordsOf(text));
  const { status } = response;
  if (url.origin !== new URL(settings.endpoint).origin)
    return new HubError(`${url.host}, where the hub sends us for a file, answered ${status}${said && `: ${said}`}`, {
      status,
    });
  return refusal(asked, { status, code: response.headers.get('x-error-code'), said }, settings);
}

/** The message of the hub's JSON; a page of HTML says nothing. */
function wordsOf(text: string): string {
  try {
    const { error, message } = JSON.parse(text) as { error?: unknown; message?: unknown };
    return String(error ?? message ?? '');
  } catch {
    return text.includes('<') ? '' : text;
  }
}
