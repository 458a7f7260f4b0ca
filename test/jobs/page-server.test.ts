// The server of live pages under clients that mean no good, or are broken.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { hostname } from 'node:os';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { EventStream } from '../../lib/jobs/serve/event-stream.js';
import { isOwnHost, isToken, newToken } from '../../lib/jobs/serve/guard.js';
import type { ServeOptions } from '../../lib/jobs/serve/serve-options.js';
import { PageServer, text, type Site } from '../../lib/jobs/serve/page-server.js';
import { ask, parsed, RawConnection } from '../helpers/raw-http.js';

const token = 'token-of-this-test';
const open: PageServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
  vi.unstubAllEnvs();
});

/** A site that says what was asked, throws where that is "fault", and streams under "events". */
class EchoSite implements Site {
  readonly streams: { stream: EventStream; response: ServerResponse }[] = [];
  readonly posted: string[] = [];
  #wake: (() => void)[] = [];

  async get({ path }: { path: readonly string[] }) {
    if (path[0] === 'fault') throw new Error('a fault of the site');
    return path[0] === 'nothing' ? undefined : text(200, JSON.stringify(path));
  }
  async post({ path }: { path: readonly string[] }) {
    this.posted.push(path.join('/'));
    return text(202, 'done');
  }
  stream({ path }: { path: readonly string[] }) {
    if (path[0] !== 'events') return undefined;
    return (response: ServerResponse) => {
      this.streams.push({ stream: new EventStream(response, 100), response });
      for (const wake of this.#wake.splice(0)) wake();
    };
  }
  /** Waits until so many readers have come. */
  async readers(count: number): Promise<void> {
    while (this.streams.length < count) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }
}

async function serve(options: ServeOptions = {}) {
  const site = new EchoSite();
  const faults: string[] = [];
  const { server, url } = await PageServer.start(site, { port: 0, token, ...options }, (line) => faults.push(line));
  open.push(server);
  return { site, faults, server, url };
}

describe('the token', () => {
  it('lets in whoever has it, and says where it comes from to others', async () => {
    const { url } = await serve();
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/token-of-this-test\/$/);
    expect((await ask(url, `/${token}/a/b`)).body).toBe('["a","b"]\n');
    for (const wrong of ['/', `/${token}x/`, `/${token.slice(0, -1)}/`, `/${token.toUpperCase()}/`, `/?${token}`]) {
      const { status, body } = await ask(url, wrong);
      expect([wrong, status, body]).toEqual([wrong, 403, expect.stringContaining('open the one that the command')]);
    }
    expect((await ask(url, `/${'x'.repeat(9000)}/`)).status).toBe(403);
    expect((await ask(url, '/wrong/stop', { method: 'POST' })).status).toBe(403);
    expect(await ask(url, `/${token}`)).toMatchObject({ status: 308, headers: { location: `/${token}/` } });
  });

  it('is compared whole, and another each time', () => {
    expect([isToken('abc', 'abc'), isToken('abd', 'abc'), isToken('', 'abc'), isToken('abcd', 'abc')]).toEqual([
      true,
      false,
      false,
      false,
    ]);
    const tokens = Array.from({ length: 100 }, newToken);
    expect(new Set(tokens).size).toBe(100);
    for (const each of tokens) expect(each).toMatch(/^[\w-]{22}$/);
  });

  it('may come from the environment, and is in no message', async () => {
    vi.stubEnv('EAM_SERVE_TOKEN', 'from-the-environment');
    expect((await serve({ token: undefined })).url).toMatch(/\/from-the-environment\/$/);
    for (const wrong of ['too-short', 'with a space in it, and long', 'a/path/that/is/long/enough'])
      await expect(serve({ token: wrong })).rejects.toThrow(
        new ConfigError('serve: token: expected at least 16 letters, digits, - or _'),
      );
  });
});

describe('the host that a request names', () => {
  it.each(['127.0.0.1', 'localhost:9000', 'LOCALHOST', '[::1]:6017', '10.1.2.3:80', hostname(), 'gpu-box:6017'])(
    'may be %s',
    (host) => expect(isOwnHost(host, 'GPU-box')).toBe(true),
  );

  it.each([
    undefined,
    '',
    'evil.example',
    'evil.example:6017',
    'localhost.evil.example',
    'localhost.',
    '127.0.0.1.evil.example',
    '127.0.0.1@evil.example',
    'evil.example/127.0.0.1',
    'localhost:port',
    '[::1',
    '[evil.example]',
    'localhost localhost',
  ])('may not be %s', (host) => expect(isOwnHost(host, '127.0.0.1')).toBe(false));

  it('is looked at before the token, as a page that rebinds its own name would have it be', async () => {
    const { url, site } = await serve();
    for (const method of ['GET', 'POST'])
      expect(await ask(url, `/${token}/a`, { method, headers: { host: 'evil.example' } })).toMatchObject({
        status: 421,
        body: expect.stringContaining('a name that is not its own'),
      });
    expect(site.posted).toEqual([]);
    expect((await ask(url, `http://evil.example/${token}/a`, { headers: { host: 'evil.example' } })).status).toBe(421);
  });
});

describe('a request that does something', () => {
  it('is refused where another page sent it', async () => {
    const { url, site } = await serve();
    const { origin } = new URL(url);
    const post = (headers: Record<string, string>) => ask(url, `/${token}/stop`, { method: 'POST', headers });
    for (const foreign of ['http://evil.example', 'null', 'http://127.0.0.1', `${origin}0`, `${origin}.evil.example`])
      expect(await post({ origin: foreign })).toMatchObject({ status: 403, body: 'Another page asked for this.\n' });
    expect(site.posted).toEqual([]);
    expect((await post({ origin })).status).toBe(202);
    expect((await post({})).status).toBe(202);
    expect(site.posted).toEqual(['stop', 'stop']);
  });

  it('is a POST, and nothing else', async () => {
    const { url, site } = await serve();
    for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PATCH'])
      expect(await ask(url, `/${token}/stop`, { method })).toMatchObject({
        status: 405,
        headers: { allow: 'GET, HEAD, POST' },
      });
    expect(site.posted).toEqual([]);
  });
});

describe('every answer', () => {
  it('forbids other sites to frame, read or keep it, and to be told of its address', async () => {
    const { url } = await serve();
    for (const target of [`/${token}/a`, `/${token}/nothing`, '/wrong', '/favicon.ico']) {
      const { headers } = await ask(url, target, { headers: { origin: 'http://evil.example' } });
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'content-security-policy': expect.stringContaining("default-src 'none'"),
        'cross-origin-resource-policy': 'same-origin',
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
      });
      expect(headers).not.toHaveProperty('access-control-allow-origin');
    }
  });

  it('has a length, and no body for HEAD', async () => {
    const { url } = await serve();
    expect(await ask(url, `/${token}/é`.replace('é', '%C3%A9'))).toMatchObject({ headers: { 'content-length': '7' } });
    expect(await ask(url, `/${token}/a`, { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
  });
});

describe('the server goes on', () => {
  const answers = async (url: string) => expect((await ask(url, `/${token}/on`)).status).toBe(200);

  it('after a fault of its own, of which the client learns nothing', async () => {
    const { url, faults } = await serve();
    const { status, body } = await ask(url, `/${token}/fault`);
    expect([status, body]).toEqual([500, expect.not.stringContaining('a fault of the site')]);
    expect(faults).toEqual(["the page's server: GET failed: a fault of the site"]);
    await answers(url);
  });

  it('after addresses that cannot be read', async () => {
    const { url } = await serve();
    for (const target of [`/${token}/%`, `/${token}/%zz`, `/${token}/%ff`, '/%', '//'])
      expect([target, (await ask(url, target)).status]).toEqual([target, 400]);
    for (const target of [`/${token}/../a`, `/${token}/%2e%2e/a`, `/${token}/../../etc/passwd`])
      expect([target, (await ask(url, target)).status]).toEqual([target, 403]);
    expect((await ask(url, `/${token}/..%2f..%2fetc%2fpasswd`)).body).toBe('["../../etc/passwd"]\n');
    await answers(url);
  });

  it('after bytes that are no request, and requests that are not whole', async () => {
    const { url, faults } = await serve();
    const garbage = await RawConnection.open(url);
    garbage.socket.write('\x16\x03\x01 no HTTP at all\r\n\r\n', 'latin1');
    await garbage.closed;
    expect(parsed(garbage.received).status).toBe(400);
    const halves = [
      `GET /${token}/a HT`,
      `GET /${token}/a HTTP/1.1\r\nhost: local`,
      'POST / HTTP/1.1\r\ncontent-length: 9',
    ];
    for (const half of halves) (await RawConnection.open(url)).socket.write(half);
    const body = await RawConnection.open(url);
    body.socket.write(`POST /${token}/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nonly this`);
    await body.until('202 ');
    body.socket.resetAndDestroy();
    await answers(url);
    expect(faults).toEqual([]);
  });

  it('after readers that vanish in the middle of an event', async () => {
    const { url, site, faults } = await serve();
    const reader = await RawConnection.open(url);
    reader.socket.write(`GET /${token}/events HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    await site.readers(1);
    const { stream, response } = site.streams[0]!;
    const gone = once(response, 'close');
    reader.socket.resetAndDestroy();
    await gone;
    stream.send('rows', ['x'.repeat(1e6)]);
    stream.beat();
    await stream.end();
    await answers(url);
    expect(faults).toEqual([]);
  });
});

describe('a stream of events', () => {
  const read = async (url: string) => {
    const reader = await RawConnection.open(url);
    reader.socket.write(`GET /${token}/events HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    return reader;
  };

  it('sends events with the place to go on from, and beats between them', async () => {
    const { url, site } = await serve();
    const reader = await read(url);
    await site.readers(1);
    site.streams[0]!.stream.send('rows', { line: 'a\nb' }, '7-3');
    site.streams[0]!.stream.beat();
    await reader.until(': \n\n');
    expect(reader.received).toContain('content-type: text/event-stream');
    expect(reader.received).toContain('retry: 100\n\n');
    expect(reader.received).toContain('event: rows\ndata: {"line":"a\\nb"}\nid: 7-3\n\n');
  });

  it('cuts off a reader that takes nothing for four beats, and no other', async () => {
    const { url, site } = await serve();
    const [slow, quick] = [await read(url), await read(url)];
    await site.readers(2);
    slow.socket.pause();
    const [stalled, flowing] = site.streams.map(({ stream }) => stream);
    // The reader takes nothing, so that more is sent than the sockets of both sides hold.
    while (!stalled!.isFull) stalled!.send('rows', 'x'.repeat(1e5));
    for (let beat = 0; beat < 3; beat++) for (const stream of [stalled!, flowing!]) stream.beat();
    expect(site.streams.map(({ response }) => response.destroyed)).toEqual([false, false]);
    stalled!.beat();
    flowing!.send('rows', 'last');
    await quick.until('last');
    expect(site.streams.map(({ response }) => response.destroyed)).toEqual([true, false]);
  });

  it('forgives a reader that takes up again', async () => {
    const { url, site } = await serve();
    const reader = await read(url);
    await site.readers(1);
    const { stream, response } = site.streams[0]!;
    for (let round = 0; round < 3; round++) {
      reader.socket.pause();
      while (!stream.isFull) stream.send('rows', 'x'.repeat(1e5));
      for (let beat = 0; beat < 3; beat++) stream.beat();
      const drained = once(response, 'drain');
      reader.socket.resume();
      await drained;
      stream.beat();
    }
    expect(response.destroyed).toBe(false);
  });
});

describe('the address', () => {
  it('is the next free one where none is named, and refused where the named one is taken', async () => {
    const [first, second] = [await serve({ port: undefined }), await serve({ port: undefined })];
    const port = (url: string) => Number(new URL(url).port);
    expect(port(first.url)).toBeGreaterThanOrEqual(6017);
    expect(port(second.url)).toBeGreaterThan(port(first.url));
    await expect(serve({ port: port(first.url) })).rejects.toThrow(
      new ConfigError(
        `port: expected a free one, got ${port(first.url)}, which is taken on 127.0.0.1; name another, or none`,
      ),
    );
    expect((await ask(first.url, `/${token}/on`)).status).toBe(200);
  });

  it('may be the loopback address of IPv6', async () => {
    const { url } = await serve({ host: '::1' });
    expect(url).toMatch(/^http:\/\/\[::1\]:\d+\//);
    expect((await ask(url, `/${token}/on`)).status).toBe(200);
  });

  it('names the machine where all its addresses are served', async () => {
    const { url } = await serve({ host: '0.0.0.0' });
    expect(new URL(url).hostname).toBe(hostname().toLowerCase());
    const local = `http://127.0.0.1:${new URL(url).port}`;
    expect((await ask(local, `/${token}/on`)).status).toBe(200);
    expect((await ask(local, `/${token}/on`, { headers: { host: `${hostname()}:1` } })).status).toBe(200);
  });

  it.each([
    {
      options: { host: '192.0.2.1' },
      said: 'host: expected an address of this machine, got 192.0.2.1 (EADDRNOTAVAIL)',
    },
    { options: { host: 'no.such.host.invalid' }, said: 'host: expected an address of this machine, got no.such.host' },
    { options: { port: 65_536 }, said: 'serve: port: expected a number of at most 65535, got 65536' },
    { options: { port: -1 }, said: 'serve: port: expected a number of at least 0, got -1' },
    { options: { port: 80.5 }, said: 'serve: port: expected a whole number, got 80.5' },
    { options: { host: '' }, said: 'serve: host: expected a string of at least 1 characters, got ""' },
    { options: { prot: 80 }, said: 'serve: prot: unknown key; did you mean "port"?' },
  ])('is refused with a line for $options', async ({ options, said }) => {
    const error = await serve(options).catch((problem: unknown) => problem);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message.slice(0, said.length)).toBe(said);
  });
});

describe('close', () => {
  it('ends streams, half requests and idle connections, and frees the port', async () => {
    const { url, site, server } = await serve();
    const [reader, half, idle] = [
      await RawConnection.open(url),
      await RawConnection.open(url),
      await RawConnection.open(url),
    ];
    reader.socket.write(`GET /${token}/events HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    half.socket.write('GET / HT');
    await site.readers(1);
    site.streams[0]!.stream.send('end', 'farewell');
    void site.streams[0]!.stream.end();
    await server.close();
    await Promise.all([reader, half, idle].map(({ closed }) => closed));
    expect(reader.received).toContain('event: end\ndata: "farewell"\n\n');
    const again = await serve({ port: Number(new URL(url).port) });
    expect(new URL(again.url).port).toBe(new URL(url).port);
  });
});
