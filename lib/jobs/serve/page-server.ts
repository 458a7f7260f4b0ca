import { createServer, STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { validate } from '../../schema/validate.js';
import { z } from 'zod';
import { isError } from '../../errors.js';
import { isOwnHost, isOwnOrigin, isToken, newToken, safeHeaders } from './guard.js';
import { listen } from './listen.js';
import { hostOf, serveShape, type ServeOptions } from './serve-options.js';

/** A request, with its path below the token. */
export interface Asked {
  /** The parts of the path, decoded. */
  path: readonly string[];
  query: URLSearchParams;
  request: IncomingMessage;
}

/** A whole answer; `headers` are added to those that every answer has. */
export interface Answer {
  status: number;
  body: string | Uint8Array;
  headers?: Readonly<Record<string, string>>;
}

/** The pages and streams that a server serves. */
export interface Site {
  /** Undefined: there is no such page. */
  get(asked: Asked): Promise<Answer | undefined>;
  /** Does something. Undefined: there is no such thing to do. */
  post(asked: Asked): Promise<Answer | undefined>;
  /** Takes over the response to a reader of events; undefined where `asked` is no address of events. */
  stream(asked: Asked): ((response: ServerResponse) => void) | undefined;
}

/** Milliseconds that a client has for the headers, and for the whole request: one that never ends is not waited for. */
const requestTime = 30_000;
/** Milliseconds that readers get for the last event. */
const farewell = 1000;
const mostConnections = 256;

export const text = (status: number, line: string): Answer => ({
  status,
  body: `${line}\n`,
  headers: { 'content-type': 'text/plain; charset=utf-8' },
});

/** A server of one site, whose address holds a secret. No error of its own, and none of a client, leaves it. */
export class PageServer {
  readonly #server = createServer({ requestTimeout: requestTime, headersTimeout: requestTime });

  private constructor(
    private readonly site: Site,
    private readonly host: string,
    private readonly token: string,
    private readonly onFault: (line: string) => void,
  ) {
    this.#server.maxConnections = mostConnections;
    this.#server.on('request', (request, response) => void this.#serve(request, response));
    this.#server.on('clientError', (_, socket: Duplex) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
      else socket.destroy();
    });
  }

  /**
   * @param onFault told of what went wrong within the server, which goes on
   * @returns the server and the address to open
   * @throws ConfigError for options that are not valid, a port that is taken, and a host that is not this machine's
   */
  static async start(
    site: Site,
    options: ServeOptions,
    onFault: (line: string) => void,
  ): Promise<{ server: PageServer; url: string }> {
    const given = { ...options, token: options.token ?? process.env['EAM_SERVE_TOKEN'] ?? newToken() };
    const { token } = validate(z.strictObject({ ...serveShape }).partial(), given, 'serve') as { token: string };
    const server = new PageServer(site, hostOf(options), token, onFault);
    const address = await listen(server.#server, options);
    server.#server.on('error', (error) => onFault(`the page's server: ${error.message}`));
    return { server, url: `${address}/${token}/` };
  }

  /** Takes no request from now on, waits a moment for those under way, and ends them. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeIdleConnections();
    const late = new AbortController();
    await Promise.race([closed, sleep(farewell, undefined, { signal: late.signal }).catch(() => {})]);
    late.abort();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // No request needs a body, so that one is read and thrown away.
    request.on('error', () => {}).resume();
    response.on('error', () => {});
    try {
      const asked = this.#admitted(request);
      const stream = 'path' in asked && request.method === 'GET' ? this.site.stream(asked) : undefined;
      if (stream) {
        for (const [name, value] of Object.entries(safeHeaders)) response.setHeader(name, value);
        stream(response);
      } else reply(response, 'path' in asked ? await this.#answer(asked) : asked);
    } catch (error) {
      this.onFault(`the page's server: ${request.method} failed: ${isError(error) ? error.message : String(error)}`);
      if (response.headersSent) response.destroy();
      else reply(response, text(500, 'This could not be answered; the command that serves it says why.'));
    }
  }

  /** The request, where it is admitted, or else the answer that refuses it. */
  #admitted(request: IncomingMessage): Asked | Answer {
    const { host } = request.headers;
    if (!isOwnHost(host, this.host))
      return text(421, 'This server is asked for by a name that is not its own: open the address that was printed.');
    const address = request.url ?? '';
    if (!URL.canParse(address, 'http://localhost')) return text(400, 'The address cannot be read.');
    const { pathname, searchParams } = new URL(address, 'http://localhost');
    if (pathname === '/favicon.ico') return { status: 204, body: '' };
    let parts: string[];
    try {
      parts = pathname.slice(1).split('/').map(decodeURIComponent);
    } catch {
      return text(400, 'The address cannot be read.');
    }
    const [token = '', ...path] = parts;
    if (!isToken(token, this.token))
      return text(
        403,
        'The address holds no valid token: open the one that the command printed when it began to serve.',
      );
    // Relative addresses of the page need the slash.
    if (path.length === 0) return { status: 308, body: '', headers: { location: `/${this.token}/` } };
    return { path, query: searchParams, request };
  }

  async #answer(asked: Asked): Promise<Answer> {
    const { method } = asked.request;
    if (method === 'GET' || method === 'HEAD')
      return (await this.site.get(asked)) ?? text(404, 'There is nothing here.');
    if (method !== 'POST')
      return { ...text(405, 'Only GET, HEAD and POST are answered.'), headers: { allow: 'GET, HEAD, POST' } };
    if (!isOwnOrigin(asked.request)) return text(403, 'Another page asked for this.');
    return (await this.site.post(asked)) ?? text(404, 'There is nothing to do here.');
  }
}

function reply(response: ServerResponse, { status, body, headers }: Answer): void {
  const length = String(Buffer.byteLength(body));
  response.writeHead(status, STATUS_CODES[status], { ...safeHeaders, 'content-length': length, ...headers });
  response.end(body);
}
