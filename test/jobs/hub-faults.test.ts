// What goes wrong between here and a hub: cut connections, refusals, other files than announced, proxies.
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { HubError } from '../../lib/jobs/hub/error.js';
import { canMount, SmallDisk } from '../helpers/small-disk.js';
import { cutAtOnce, Cutter, goodToken, status, writeToken, type Fault } from '../helpers/hub.js';
import { hubHome, problemOf } from '../helpers/hub-home.js';
import { weights } from '../helpers/hub-models.js';

const home = hubHome();
const id = 'artists/painter';
const file = 'model.safetensors';
const model = { 'config.json': '{}', [file]: weights };
const hash = createHash('sha256').update(weights).digest('hex');

const partial = () => join(home.folder, `cache/hub/models--artists--painter/blobs/${hash}.eam.incomplete`);
const ranges = () => home.hub.requests.filter(({ path }) => path.startsWith('/storage')).map(({ range }) => range);
const isWhole = (directory: string) => readFileSync(join(directory, file)).equals(weights);

const only = { files: [file] };

describe('a connection that is cut', () => {
  it('is gone on from where it was, as often as something comes', async () => {
    home.hub.add(id, model);
    const cutter = new Cutter();
    for (let cut = 0; cut < 8; cut++) home.hub.faults.push(cutter.after(weights, 20_000));
    const { directory } = await home.fetch(id, { ...only, onBytes: cutter.onBytes });
    expect(isWhole(directory)).toBe(true);
    const begins = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((count) => (count ? `bytes=${count * 20_000}-` : undefined));
    expect(ranges()).toEqual(begins);
    expect(home.lines.some((line) => /cut .* at byte 40000 of 200000: trying again/.test(line))).toBe(true);
  });

  it('without a byte is given up after some tries, and the next fetch goes on', async () => {
    home.hub.add(id, model);
    const cutter = new Cutter();
    home.hub.faults.push(cutter.after(weights, 50_000));
    for (let cut = 0; cut < 60; cut++) home.hub.faults.push(cutAtOnce);
    const problem = await problemOf(home.fetch(id, { ...only, onBytes: cutter.onBytes }));
    expect(problem).toMatch(/0\.05 MB are kept: the same command goes on from there|connection to .* failed/);
    expect(statSync(partial()).size).toBe(50_000);
    home.hub.requests.length = 0;
    home.hub.faults.length = 0;
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
    expect(ranges()).toEqual(['bytes=50000-']);
  });

  it('by the user leaves what came, for the next fetch', async () => {
    home.hub.add(id, model);
    const stop = new AbortController();
    home.hub.faults.push(new Cutter().after(weights, 70_000));
    const onBytes = (done: number) => {
      if (done === 70_000) stop.abort(new Error('enough'));
    };
    await expect(home.fetch(id, { ...only, signal: stop.signal, onBytes })).rejects.toThrow('enough');
    expect(statSync(partial()).size).toBe(70_000);
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
    expect(ranges().at(-1)).toBe('bytes=70000-');
  });

  it('while the hub is listed is tried again', async () => {
    home.hub.add(id, model);
    home.hub.faults.push((_, response) => {
      response.destroy();
      return true;
    });
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
    expect(home.lines[0]).toMatch(/^the connection to 127\.0\.0\.1:\d+ failed: .*: trying again in 1 s$/);
  });

  it('to a hub that is not there is said with the address and the reason', async () => {
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:9');
    expect(await problemOf(home.fetch(id))).toMatch(
      /^the connection to 127\.0\.0\.1:9 failed: .*(ECONNREFUSED|bad port)/,
    );
  });
});

describe('another file than the hub announced', () => {
  const answer =
    (data: Uint8Array, code = 200, headers: Record<string, string> = {}): Fault =>
    (request, response) => {
      if (!request.path.startsWith('/storage')) return false;
      response.writeHead(code, headers).end(data);
      return true;
    };
  const other = Buffer.from(weights).reverse();

  it('is refused by its hash, and nothing of it is kept', async () => {
    home.hub.add(id, model);
    home.hub.faults.push(answer(other));
    const problem = await problemOf(home.fetch(id));
    expect(problem).toContain(`${id}/${file}: expected SHA-256 ${hash}, got`);
    expect(() => statSync(partial())).toThrow('ENOENT');
  });

  it('as a small one is refused by its hash', async () => {
    home.hub.add(id, model);
    home.hub.faults.push((request, response) => {
      if (!request.path.endsWith('config.json')) return false;
      response.end('[]');
      return true;
    });
    expect(await problemOf(home.fetch(id))).toContain(`${id}/config.json: expected Git's SHA-1`);
  });

  it('that is longer is refused before its end', async () => {
    home.hub.add(id, model);
    home.hub.faults.push(answer(Buffer.concat([weights, other])));
    expect(await problemOf(home.fetch(id))).toBe(`${id}/${file}: expected 200000 bytes, as the hub lists, got more`);
  });

  it('that is shorter is asked for again', async () => {
    home.hub.add(id, model);
    home.hub.faults.push(answer(weights.subarray(0, 100)));
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
    expect(ranges()).toEqual([undefined, 'bytes=100-']);
  });

  it('behind a part of an earlier one is fetched from its beginning', async () => {
    home.hub.add(id, model);
    mkdirSync(join(partial(), '..'), { recursive: true });
    writeFileSync(partial(), other.subarray(0, 1000));
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
    expect(ranges()).toEqual(['bytes=1000-', undefined]);
  });

  it('behind a part that is longer than it is fetched from its beginning', async () => {
    home.hub.add(id, model);
    mkdirSync(join(partial(), '..'), { recursive: true });
    writeFileSync(partial(), Buffer.concat([weights, other]));
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
    expect(ranges()).toEqual([undefined]);
  });

  it('from a server without ranges is written from its beginning', async () => {
    home.hub.add(id, model);
    mkdirSync(join(partial(), '..'), { recursive: true });
    writeFileSync(partial(), weights.subarray(0, 1000));
    home.hub.faults.push(answer(weights));
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
    expect(ranges()).toEqual(['bytes=1000-']);
  });

  it.each([
    { range: 'bytes 2000-199999/200000', problem: 'the range: expected bytes from 1000, got from 2000' },
    {
      range: 'bytes 1000-299999/300000',
      problem: 'expected a part of 200000 bytes, as the hub lists, got bytes 1000-',
    },
    { range: undefined, problem: 'content-range: expected a part of 200000 bytes' },
  ])('as a part at $range is refused', async ({ range, problem }) => {
    home.hub.add(id, model);
    mkdirSync(join(partial(), '..'), { recursive: true });
    writeFileSync(partial(), weights.subarray(0, 1000));
    home.hub.faults.push(answer(weights.subarray(1000), 206, range === undefined ? {} : { 'content-range': range }));
    expect(await problemOf(home.fetch(id))).toContain(problem);
  });

  it('that nobody announced a hash of is refused', async () => {
    home.hub.add(id, model);
    home.hub.faults.push((request, response) => {
      if (!request.path.includes('/tree/')) return false;
      response.end(JSON.stringify([{ type: 'file', path: file, size: 3 }]));
      return true;
    });
    expect(await problemOf(home.fetch(id))).toContain('without its size and its hash');
  });
});

describe('a hub that is busy', () => {
  it.each([
    { how: 'retry-after', headers: { 'retry-after': '7' }, pause: 7 },
    { how: 'the time of its limit', headers: { ratelimit: '"api";r=0;t=55' }, pause: 55 },
    { how: 'nothing', headers: {} as Record<string, string>, pause: 0.5 },
  ])('with 429 and $how is asked again after that', async ({ headers, pause }) => {
    home.hub.add(id, model);
    home.hub.faults.push(status(429, headers));
    await home.fetch(id);
    expect(home.pacing.pauses).toEqual([pause]);
  });

  it.each([500, 502, 503, 504])('with %i is asked again', async (code) => {
    home.hub.add(id, model);
    home.hub.faults.push(status(code, {}, /^\/storage/));
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
  });

  it('is given up after five more tries, each later than the one before', async () => {
    home.hub.add(id, model);
    for (let again = 0; again < 6; again++) home.hub.faults.push(status(429));
    expect(await problemOf(home.fetch(id))).toBe('the hub asks to wait: too many requests; run this again later');
    expect(home.pacing.pauses).toEqual([0.5, 1, 2, 4, 8]);
  });

  it('that asks for an hour is left alone', async () => {
    home.hub.add(id, model);
    home.hub.faults.push(status(429, { 'retry-after': '3600' }));
    expect(await problemOf(home.fetch(id))).toContain('left alone for 3600 s: run this again then');
  });
});

describe('a refusal', () => {
  it.each([
    {
      what: 'a gated model without a token: what to click',
      token: undefined,
      access: { gated: true },
      says: [
        `${id} is gated`,
        `/${id}, read the licence, and click "Agree and access repository"`,
        '/settings/tokens',
        'set HF_TOKEN',
      ],
      code: 401,
    },
    {
      what: 'a gated model with the token of an account that has not agreed',
      token: goodToken,
      access: { gated: true },
      says: [
        'the account of the token in HF_TOKEN has no access',
        'click "Agree and access repository"',
        'fine-grained',
      ],
      code: 403,
    },
    {
      what: 'a token that is not known',
      token: 'hf_expired',
      access: {},
      says: ['the hub does not accept the token in HF_TOKEN', 'Invalid user token [HF_TOKEN]'],
      code: 401,
    },
    {
      what: 'a private model without a token',
      token: undefined,
      access: { private: true },
      says: [`there is no model ${id}`, 'or it is private: then set HF_TOKEN'],
      code: 401,
    },
    {
      what: "a private model with another account's token",
      token: goodToken,
      access: { private: true },
      says: [`there is no model ${id}`, 'the account of the token in HF_TOKEN may not see it'],
      code: 404,
    },
  ])('of $what', async ({ token, access, says, code }) => {
    home.hub.add(id, model, access);
    if (token) vi.stubEnv('HF_TOKEN', token);
    const error = await home.fetch(id).catch((problem: unknown) => problem);
    expect(error).toBeInstanceOf(HubError);
    expect(error).toMatchObject({ status: code, code: 'ERR_EAM_HUB' });
    for (const words of says) expect((error as Error).message).toContain(words);
    if (token) expect((error as Error).stack! + home.lines.join('\n')).not.toContain(token);
  });

  it('of a model that is not there', async () => {
    expect(await problemOf(home.fetch('artists/nobody'))).toContain('there is no model artists/nobody at http://127');
  });

  it('comes before anybody is asked about gigabytes, and not again with a right token', async () => {
    home.hub.add(id, model, { gated: true });
    await expect(home.fetch(id)).rejects.toThrow('is gated');
    vi.stubEnv('HF_TOKEN', `${writeToken}\n`);
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
  });

  it('of the storage behind the hub is its own', async () => {
    home.hub.add(id, model);
    home.hub.faults.push(status(403, {}, /^\/storage/));
    expect(await problemOf(home.fetch(id))).toMatch(/^localhost:\d+, where the hub sends us for a file, answered 403$/);
  });
});

describe('a disk', () => {
  it.skipIf(!canMount)('that is full ends the fetch with its name, and keeps what came', async () => {
    const disk = new SmallDisk(2 ** 16);
    try {
      home.hub.add(id, model);
      vi.stubEnv('HF_HUB_CACHE', disk.path);
      expect(await problemOf(home.fetch(id, { freeBytes: () => 1e9 }))).toMatch(/could not be written: ENOSPC/);
      disk.resize(2 ** 20);
      expect(isWhole((await home.fetch(id)).directory)).toBe(true);
      expect(ranges().at(-1)).toMatch(/^bytes=\d+-$/);
    } finally {
      disk.unmount();
    }
  });
});

describe('a proxy', () => {
  const servers: { close(): void }[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  /** A proxy that opens tunnels, and writes down to where. */
  async function startProxy(): Promise<{ url: string; tunnels: string[] }> {
    const tunnels: string[] = [];
    const proxy = createServer((_, response) => response.writeHead(405).end());
    proxy.on('connect', ({ url }, client, head) => {
      tunnels.push(url!);
      const [host, port] = url!.split(':') as [string, string];
      const target = connect(Number(port), host, () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        target.write(head);
        target.pipe(client).pipe(target);
      });
      for (const side of [client, target]) side.on('error', () => {});
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    servers.push(proxy);
    return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, tunnels };
  }

  it.each(['HTTP_PROXY', 'http_proxy'])('of %s stands between', async (name) => {
    home.hub.add(id, model);
    const { url, tunnels } = await startProxy();
    vi.stubEnv(name, url);
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
    expect(new Set(tunnels)).toEqual(new Set([new URL(home.hub.url).host, new URL(home.hub.storageUrl).host]));
  });

  it('is passed by for what NO_PROXY names', async () => {
    home.hub.add(id, model);
    const { url, tunnels } = await startProxy();
    vi.stubEnv('HTTP_PROXY', url);
    vi.stubEnv('NO_PROXY', '127.0.0.1,localhost');
    expect(isWhole((await home.fetch(id)).directory)).toBe(true);
    expect(tunnels).toEqual([]);
  });

  it('is meant by HTTPS_PROXY for addresses of https alone', async () => {
    home.hub.add(id, model);
    const { url, tunnels } = await startProxy();
    vi.stubEnv('HTTPS_PROXY', url);
    await home.fetch(id);
    expect(tunnels).toEqual([]);
    vi.stubEnv('HF_ENDPOINT', home.hub.url.replace('http:', 'https:'));
    // The tunnel is opened, and nobody speaks TLS at its end.
    await expect(home.fetch('artists/other')).rejects.toThrow('failed');
    expect(new Set(tunnels)).toEqual(new Set([new URL(home.hub.url).host]));
  });

  it('that is not there is said without its password', async () => {
    vi.stubEnv('HTTP_PROXY', 'http://me:secret@127.0.0.1:9');
    const problem = await problemOf(home.fetch(id));
    expect(problem).toMatch(/^the connection to 127\.0\.0\.1:\d+ failed: /);
    expect(problem + home.lines.join('\n')).not.toContain('secret');
  });
});
