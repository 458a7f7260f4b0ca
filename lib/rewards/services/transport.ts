import { isError } from '../../errors.js';
import { excerpt, Fault } from './faults.js';
import type { Key } from './key.js';

/** Where requests go, and what they carry. */
export interface Endpoint {
  url: URL;
  headers: Readonly<Record<string, string>>;
  key: Key | undefined;
}

/** Bytes of an answer that are read: a thousand times what one needs. */
const longestAnswer = 2 ** 20;
/** Bytes of an error's text that are read. */
const longestError = 4096;
const mostRedirects = 5;

/**
 * Posts JSON once, and follows redirects that repeat the request. One to another host gets neither the key nor the
 * configured headers.
 * @returns the answer's text
 * @throws Fault; the signal's reason
 */
export async function post({ url, headers, key }: Endpoint, body: string, signal: AbortSignal): Promise<string> {
  let target = url;
  let isHome = true;
  const clean = (text: string) => key?.removedFrom(text) ?? text;
  for (let hops = 0; hops <= mostRedirects; hops++) {
    const own = new Headers(isHome ? { ...headers, ...key?.header() } : {});
    own.set('content-type', 'application/json');
    own.set('accept', 'application/json');
    const response = await send(target, {
      method: 'POST',
      headers: own,
      body,
      redirect: 'manual',
      signal,
    });
    const location = response.headers.get('location');
    if ((response.status === 307 || response.status === 308) && location !== null) {
      await response.body?.cancel().catch(() => {});
      target = redirected(location, target, clean);
      isHome &&= target.origin === url.origin;
      continue;
    }
    if (response.ok) return clean(await wholeText(response));
    const text = clean(await startOf(response, longestError).catch(() => ''));
    const where =
      target === url
        ? ''
        : ` (after a redirect to ${target.origin}${isHome ? '' : ', which is sent neither the key nor the headers'})`;
    throw faultOf(response, text, where, { location: location && clean(location), key });
  }
  throw new Fault('wrong', `it redirects more than ${mostRedirects} times; name the last address as the url`);
}

async function send(target: URL, request: RequestInit): Promise<Response> {
  try {
    return await fetch(target, request);
  } catch (error) {
    request.signal?.throwIfAborted();
    throw networkFault(error);
  }
}

function networkFault(error: unknown): Fault {
  const { cause } = error as Error;
  const { code, message } = (isError(cause) ? cause : error) as NodeJS.ErrnoException;
  return new Fault('passing', `the connection failed: ${message || code}`, { cause: error });
}

function redirected(location: string, from: URL, clean: (text: string) => string): URL {
  const next = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (next && /^https?:$/.test(next.protocol)) return next;
  throw new Fault('wrong', `it redirects to ${excerpt(clean(location))}, which is no address of http or https`);
}

async function wholeText(response: Response): Promise<string> {
  let text: string;
  try {
    text = await startOf(response, longestAnswer + 1);
  } catch (error) {
    throw networkFault(error);
  }
  if (Buffer.byteLength(text) <= longestAnswer) return text;
  throw new Fault('wrong', `its answer is longer than ${longestAnswer} bytes, the most that is read`);
}

/** The text of at least the first `limit` bytes, where there are so many; the rest is not waited for. */
async function startOf(response: Response, limit: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop ends the connection.
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= limit) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function faultOf(
  { status, headers }: Response,
  text: string,
  where: string,
  { location, key }: { location: string | null; key: Key | undefined },
): Fault {
  const said = `HTTP ${status}${where}${text.trim() ? `: ${excerpt(text)}` : ''}`;
  if (status === 429 || status >= 500) return new Fault('passing', said, { retryAfter: headers.get('retry-after') });
  // The service declines this one request: a moderator takes offence at its image, or it is too large.
  if (status === 400 || status === 413 || status === 422) return new Fault('declined', said);
  if (location !== null && status < 400)
    return new Fault('wrong', `${said}, a redirect to ${excerpt(location)} that drops the images; name it as the url`);
  if (status === 401 || status === 403)
    return new Fault(
      'wrong',
      `${said}; ` +
        (key ? `it refuses the key in ${key.variable}` : 'name the environment variable of its key in keyFrom'),
    );
  return new Fault('wrong', said);
}
