// A service's key comes from the environment, goes to its host alone, and is in no message.
import { inspect } from 'node:util';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { parseReward } from '../../lib/rewards/registry.js';
import { score, type Reward } from '../../lib/rewards/reward.js';
import { httpReward, type HttpRewardOptions } from '../../lib/rewards/services/http.js';
import { openaiReward } from '../../lib/rewards/services/openai.js';
import { applyOverrides } from '../../lib/schema/json.js';
import { counting, grays, json, TestPacing, TestService, text, type Handler } from '../helpers/service.js';

/** Long, so that a message which cuts it has a part of it, and with characters that JSON and addresses escape. */
const key = `sk-0123/"4567"+89\\${'abcdefgh'.repeat(12)}`;
const parts = [key.slice(0, 12), JSON.stringify(key).slice(1, 13), encodeURIComponent(key).slice(0, 12), 'abcdefgh'];
const expectNoKey = (said: string) => expect(parts.filter((part) => said.includes(part))).toEqual([]);

beforeEach(() => {
  process.env['TEST_JUDGE_KEY'] = key;
});
afterEach(() => {
  delete process.env['TEST_JUDGE_KEY'];
});

const patient = { pacing: new TestPacing() };
const keyed = (url: string, change: Partial<HttpRewardOptions> = {}) =>
  httpReward({ url, keyFrom: 'TEST_JUDGE_KEY', retries: 1, ...change }, patient);
const thrownBy = (call: () => unknown): unknown => {
  try {
    return call();
  } catch (error) {
    return error;
  }
};
const scored = (reward: Reward) => score(reward, grays(2), ['a', 'b'], {});

describe('the key', () => {
  it.each([
    { change: {}, header: 'authorization', value: `Bearer ${key}` },
    { change: { keyHeader: 'Authorization' }, header: 'authorization', value: `Bearer ${key}` },
    { change: { keyHeader: 'X-Api-Key' }, header: 'x-api-key', value: key },
  ])('is sent in the header $header, with $change', async ({ change, header, value }) => {
    await using service = await TestService.start(counting());
    await scored(keyed(service.url, change));
    expect(service.requests[0]!.headers[header]).toBe(value);
  });

  it('is not in what a reward shows of itself', () => {
    const reward = keyed('http://127.0.0.1:9/');
    for (const shown of [inspect(reward, { depth: null, showHidden: true }), JSON.stringify(reward)])
      expectNoKey(shown);
  });

  it('may end with a new line in its variable', async () => {
    process.env['TEST_JUDGE_KEY'] = ` ${key}\n`;
    await using service = await TestService.start(counting());
    await scored(keyed(service.url));
    expect(service.requests[0]!.headers['authorization']).toBe(`Bearer ${key}`);
  });

  it.each([
    { what: 'none', value: undefined, says: 'the environment variable TEST_JUDGE_KEY is not set; set it to' },
    { what: 'an empty one', value: ' \n', says: 'the environment variable TEST_JUDGE_KEY is not set' },
    { what: 'one of two lines', value: `${key}\n${key}`, says: 'expected a key in printable ASCII in TEST_JUDGE_KEY' },
    { what: 'one with an umlaut', value: `${key}ü`, says: 'expected a key in printable ASCII in TEST_JUDGE_KEY' },
  ])('has to be there: $what is refused before anything is asked', ({ value, says }) => {
    if (value === undefined) delete process.env['TEST_JUDGE_KEY'];
    else process.env['TEST_JUDGE_KEY'] = value;
    const error = thrownBy(() => keyed('http://127.0.0.1:9/'));
    expect((error as Error).message).toContain(says);
    expectNoKey(inspect(error));
  });

  it('needs a variable where a header is named for it', () => {
    expect(() => httpReward({ url: 'http://127.0.0.1:9/', keyHeader: 'x-api-key' })).toThrow(
      'keyFrom: expected an environment variable for the key in keyHeader, got none',
    );
  });
});

describe('a key in the configuration itself is refused, and not repeated', () => {
  const url = 'http://127.0.0.1:9/';
  const variable = 'name that in keyFrom';
  it.each([
    { options: { headers: { authorization: `Bearer ${key}` } }, says: `headers.authorization: expected no key here;` },
    { options: { headers: { 'X-Api-Key': key } }, says: '(keyHeader: "X-Api-Key" where it is this header\'s)' },
    { options: { headers: { 'ocp-apim-subscription-key': key } }, says: variable },
    { options: { headers: { cookie: `session=${key}` } }, says: variable },
    { options: { headers: { 'x-auth-token': key } }, says: variable },
    { options: { headers: { 'x-custom': `Bearer ${key}` } }, says: 'headers.x-custom: expected no key here' },
    { options: { headers: { 'x-custom': key } }, says: 'headers.x-custom: expected no key here' },
    { options: { headers: `authorization: Bearer ${key}` }, says: 'headers: expected a record' },
    { options: { keyFrom: key }, says: 'keyFrom: expected the name of an environment variable in capital letters' },
    { options: { keyFrom: 'sk_abcdefgh' }, says: 'keyFrom: expected the name of an environment variable' },
    { options: { url: `http://me:${encodeURIComponent(key)}@h/` }, says: 'without a name and a password' },
    {
      options: { url: `http://h/?api_key=${encodeURIComponent(key)}` },
      says: 'url: expected an address without "api_key"',
    },
    { options: { apiKey: key }, says: 'apiKey: unknown key' },
    { options: { body: { api_key: key }, model: 'm' }, says: 'body.api_key: expected no key here' },
    { options: { headers: { authorization: [key] } }, says: 'headers.authorization: expected a string' },
  ])('$says', ({ options, says }) => {
    const make = 'model' in options ? openaiReward : httpReward;
    const error = thrownBy(() => make({ url, ...(options as object) } as never));
    expect((error as Error).message).toContain(says);
    expectNoKey(inspect(error, { depth: null }));
  });

  it.each([
    { headers: { authorization: `Bearer ${key}` } },
    { keyFrom: key },
    { headers: { authorization: `Bearer ${key}` }, tries: 3 },
    { name: 'htp', headers: { authorization: `Bearer ${key}` } },
  ])('on a command line, as JSON', (change) => {
    const said = (text: string) => {
      try {
        return inspect(parseReward(text), { depth: null });
      } catch (error) {
        return inspect(error, { depth: null });
      }
    };
    const config = JSON.stringify({ name: 'http', url, ...change });
    for (const written of [config, config.slice(0, -1), `${config}}`, config.replace('http', '"')])
      expectNoKey(said(written));
    expectNoKey(said(`http=${url},keyFrom=${key}`));
  });

  it('as a setting that replaces one of a configuration', () => {
    const refused = (setting: string) => {
      try {
        applyOverrides({ rewards: 3 }, [setting]);
        return 'taken';
      } catch (error) {
        return inspect(error);
      }
    };
    expectNoKey(refused(`rewards.0.headers.authorization=${key}`));
    expect(refused(`rewards.0.headers.authorization=${key}`)).toContain('authorization=…: rewards is not an object');
  });
});

describe('a service that repeats the key', () => {
  const echo: Handler = ({ headers }, response) =>
    response.writeHead(401, { 'x-said': headers['authorization'] }).end(`No such key: ${headers['authorization']}`);
  const said = (make: (key: string) => Handler): Handler => make(key);
  const escaped = (error: string) => {
    const units = Array.from(error, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`);
    return `{"results": [1, null], "errors": [null, "${units.join('')}"]}`;
  };
  it.each([
    { what: 'with HTTP 401', handler: echo },
    { what: 'with HTTP 500', handler: said((each) => text(each.repeat(3), 500)) },
    { what: 'with HTTP 400', handler: said((each) => json({ error: each }, 400)) },
    { what: 'in no JSON', handler: said((each) => text(`<p>${each}</p>`)) },
    { what: 'in JSON of another form', handler: said((each) => json({ results: [each, each] })) },
    { what: 'as a list', handler: said((each) => json([`${'x'.repeat(40)}${each}`])) },
    { what: "as an image's error", handler: said((each) => json({ results: [null, 1], errors: [each, null] })) },
    { what: 'in an address', handler: said((each) => text('', 302, { location: `/?k=${encodeURIComponent(each)}` })) },
    { what: 'as an address', handler: said((each) => text('', 307, { location: `x:${encodeURIComponent(each)}` })) },
    { what: 'in JSON that escapes every character', handler: (_, response) => response.end(escaped(key)) },
  ] as { what: string; handler: Handler }[])('$what is not repeated by an error or a note', async ({ handler }) => {
    await using service = await TestService.start(handler);
    for (const required of [true, false]) {
      const notes: string[] = [];
      const options = { url: service.url, keyFrom: 'TEST_JUDGE_KEY', retries: 1, required };
      const reward = httpReward(options, { ...patient, onNote: (note) => notes.push(note) });
      const result = await scored(reward).catch((error: Error) => error);
      expect(result instanceof Error || notes.length === 1).toBe(true);
      if (required) expect(result).toBeInstanceOf(Error);
      expectNoKey(inspect(result, { depth: null, showHidden: true }) + notes.join());
      expect(service.requests[0]!.headers['authorization']).toBe(`Bearer ${key}`);
    }
  });

  it('is told apart from one that refuses it', async () => {
    await using service = await TestService.start(echo);
    await expect(scored(keyed(service.url))).rejects.toThrow(
      'HTTP 401: "No such key: Bearer [the key of TEST_JUDGE_KEY]"; it refuses the key in TEST_JUDGE_KEY',
    );
  });
});

describe('a redirect', () => {
  it.each([307, 308])('to another host carries neither key nor headers: HTTP %i', async (status) => {
    await using other = await TestService.start(counting());
    await using service = await TestService.start(text('', status, { location: other.url }));
    const { values } = await scored(keyed(service.url, { headers: { 'x-team': 'red' } }));
    expect([...(values as Float32Array)]).toEqual([1, 2]);
    expect(service.requests[0]!.headers).toMatchObject({ authorization: `Bearer ${key}`, 'x-team': 'red' });
    expect(other.requests[0]!.body).toEqual(service.requests[0]!.body);
    expect(other.requests[0]!.headers).not.toHaveProperty('authorization');
    expect(other.requests[0]!.headers).not.toHaveProperty('x-team');
  });

  it('to another host and back carries none, either', async () => {
    let back = '';
    await using other = await TestService.start((_, response) => response.writeHead(307, { location: back }).end());
    const answer = counting();
    await using service = await TestService.start((received, response, index) =>
      received.path === '/back'
        ? answer(received, response, index)
        : text('', 307, { location: other.url })(received, response, index),
    );
    back = new URL('/back', service.url).href;
    await scored(keyed(service.url, { keyHeader: 'x-api-key' }));
    expect(service.requests.map(({ headers }) => headers['x-api-key'])).toEqual([key, undefined]);
  });

  it('says so where the other host refuses', async () => {
    await using other = await TestService.start(text('who?', 403));
    await using service = await TestService.start(text('', 307, { location: other.url }));
    await expect(scored(keyed(service.url))).rejects.toThrow(
      `HTTP 403 (after a redirect to ${new URL(other.url).origin}, which is sent neither the key nor the headers): ` +
        '"who?"',
    );
  });

  it('within the host carries it', async () => {
    const answer = counting();
    await using service = await TestService.start((received, response, index) =>
      received.path === '/score'
        ? text('', 308, { location: 'v2' })(received, response, index)
        : answer(received, response, index),
    );
    await scored(keyed(service.url));
    expect(service.requests.map(({ path, headers }) => [path, headers['authorization']])).toEqual([
      ['/score', `Bearer ${key}`],
      ['/v2', `Bearer ${key}`],
    ]);
  });
});
