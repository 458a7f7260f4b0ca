// Answers are kept in memory and on disk, and are what tells one service's reward from another.
import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { combine } from '../../lib/rewards/combine.js';
import { rewardIdentity } from '../../lib/rewards/identity.js';
import { createRewardList, rewardSchema } from '../../lib/rewards/registry.js';
import { score, type Reward } from '../../lib/rewards/reward.js';
import { httpReward } from '../../lib/rewards/services/http.js';
import { openaiReward } from '../../lib/rewards/services/openai.js';
import { validate } from '../../lib/schema/validate.js';
import { counting, grays, json, prompts, TestPacing, TestService, text } from '../helpers/service.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const valuesOf = async (reward: Reward, count = 2, first = 0) => [
  ...((await score(reward, grays(count, first), prompts(count), {})).values as Float32Array),
];
const folderFor = () => join(temporaryFolder(), 'a', 'b');

describe('the cache of answers', () => {
  it('answers for images that were asked about before, with no request', async () => {
    await using service = await TestService.start(counting());
    const reward = httpReward({ url: service.url });
    expect(await valuesOf(reward)).toEqual([1, 2]);
    expect(await valuesOf(reward, 3)).toEqual([1, 2, 3]);
    expect(reward.tally).toEqual({ requests: 2, retries: 0, cached: 2, missing: 0 });
  });

  it('holds so many in memory, the latest', async () => {
    await using service = await TestService.start(counting());
    const reward = httpReward({ url: service.url, cache: { entries: 2 } });
    for (const [first, value] of [
      [0, 1],
      [1, 2],
      [0, 1],
      [2, 3],
      [0, 1],
      [1, 4],
    ] as const)
      expect(await valuesOf(reward, 1, first)).toEqual([value]);
    const none = httpReward({ url: service.url, cache: { entries: 0 } });
    expect([await valuesOf(none, 1), await valuesOf(none, 1)]).toEqual([[5], [6]]);
  });

  it('on disk is shared by processes and later runs, a whole file an answer', async () => {
    const directory = folderFor();
    await using service = await TestService.start(counting());
    const open = (entries: number) => httpReward({ url: service.url, batch: 1, cache: { directory, entries } });
    const [one, two] = [open(0), open(10)];
    const both = await Promise.all([valuesOf(one, 8), valuesOf(two, 8)]);
    const names = readdirSync(directory);
    expect(names).toHaveLength(8);
    for (const name of names) {
      expect(name).toMatch(/^[0-9a-f]{64}\.json$/);
      expect(readFileSync(join(directory, name), 'utf8')).toMatch(/^{"value":\d+}\n$/);
    }
    const before = service.requests.length;
    const later = await valuesOf(open(0), 8);
    expect(service.requests.length).toBe(before);
    for (const [image, value] of later.entries()) expect(both.map((values) => values[image])).toContain(value);
  });

  it.each(['', '{"value":', '{"value":"1"}', '{"value":null}', '[]', 'null', '{}'])(
    'asks again where a file is damaged: %s',
    async (content) => {
      const directory = folderFor();
      await using service = await TestService.start(counting());
      const options = { url: service.url, cache: { directory, entries: 0 } };
      await valuesOf(httpReward(options), 1);
      const [name] = readdirSync(directory) as [string];
      writeFileSync(join(directory, name), content);
      expect(await valuesOf(httpReward(options), 1)).toEqual([2]);
      expect(readFileSync(join(directory, name), 'utf8')).toBe('{"value":2}\n');
    },
  );

  it('removes what killed processes left, once it is old', async () => {
    const directory = temporaryFolder();
    await using service = await TestService.start(counting());
    const [old, fresh] = ['aa.json.tmp-1-1', 'bb.json.tmp-1-2'].map((name) => join(directory, name)) as [
      string,
      string,
    ];
    for (const path of [old, fresh]) writeFileSync(path, '{');
    utimesSync(old, 1, 1);
    await valuesOf(httpReward({ url: service.url, cache: { directory } }));
    expect([existsSync(old), existsSync(fresh)]).toEqual([false, true]);
  });

  it('keeps no image without an answer', async () => {
    const directory = folderFor();
    await using service = await TestService.start(json({ results: [null, 5] }));
    const reward = httpReward({ url: service.url, required: false, cache: { directory } });
    expect(await valuesOf(reward)).toEqual([NaN, 5]);
    expect(readdirSync(directory)).toHaveLength(1);
    await using mended = await TestService.start(text('', 500));
    const broken = httpReward({ url: mended.url, required: false, retries: 0, cache: { directory } });
    expect(await valuesOf(broken)).toEqual([NaN, NaN]);
    expect(readdirSync(directory)).toHaveLength(1);
  });

  it('keeps what was answered before another request failed', async () => {
    let down = true;
    const answer = counting();
    await using service = await TestService.start((received, response, index) =>
      down && index === 1 ? response.writeHead(404).end() : answer(received, response, index),
    );
    const reward = httpReward({ url: service.url, batch: 1, concurrency: 1 });
    await expect(valuesOf(reward)).rejects.toThrow(/HTTP 404/);
    down = false;
    expect(await valuesOf(reward)).toEqual([1, 2]);
    expect(service.requests).toHaveLength(3);
  });

  it('is refused in a place where no folder can be', () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    expect(() => httpReward({ url: 'http://127.0.0.1:9/', cache: { directory: file } })).toThrow(
      `cache.directory: ${file} cannot be used: `,
    );
  });

  it('that cannot be written any more is told once, and the answers count', async () => {
    const directory = folderFor();
    const notes: string[] = [];
    await using service = await TestService.start(counting());
    const reward = httpReward({ url: service.url, cache: { directory } }, { onNote: (note) => notes.push(note) });
    rmSync(directory, { recursive: true });
    expect(await valuesOf(reward)).toEqual([1, 2]);
    expect(await valuesOf(reward, 2, 10)).toEqual([3, 4]);
    expect(notes).toEqual([expect.stringMatching(/: an answer could not be written, and is asked .* ENOENT/)]);
  });

  it('tells images, prompts, headers, models and questions apart', async () => {
    const directory = folderFor();
    await using service = await TestService.start(({ body }, response) => {
      const yes = [{ token: 'yes', top_logprobs: [{ token: 'yes', logprob: 0 }] }];
      const completion = { choices: [{ message: { content: 'yes 1' }, logprobs: { content: yes } }] };
      response.end(JSON.stringify(body.images ? { results: [1] } : completion));
    });
    const common = { url: service.url, cache: { directory } };
    const ask = async (reward: Reward, prompt = 'a', shade = 0) => {
      await score(reward, grays(1, shade), [prompt], {});
      return readdirSync(directory).length;
    };
    const model = 'm';
    const counts = [
      await ask(httpReward(common)),
      await ask(httpReward({ ...common, timeout: 9, concurrency: 9, retries: 0, batch: 3, label: 'x' })),
      await ask(httpReward(common), 'b'),
      await ask(httpReward(common), 'a', 1),
      await ask(httpReward({ ...common, headers: { 'x-model': 'b' } })),
      await ask(httpReward({ ...common, url: `${service.url}?v=2` })),
      await ask(openaiReward({ ...common, model })),
      await ask(openaiReward({ ...common, model: 'n' })),
      await ask(openaiReward({ ...common, model, question: '{prompt}?' })),
      await ask(openaiReward({ ...common, model, answer: 'log-odds' })),
      await ask(openaiReward({ ...common, model, answer: 'number' })),
      await ask(openaiReward({ ...common, model, answer: 'number', range: [0, 5] })),
      await ask(openaiReward({ ...common, model, body: { seed: 1 } })),
      await ask(openaiReward({ ...common, model, maxTokens: 3 })),
      await ask(openaiReward({ ...common, model, range: [0, 5] })),
    ];
    expect(counts).toEqual([1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 13]);
  });
});

describe('the identity of a service’s reward', () => {
  const url = 'http://127.0.0.1:9/score';
  const http = async (change: object = {}) => rewardIdentity(httpReward({ url, ...change }));
  const openai = async (change: object = {}) => rewardIdentity(openaiReward({ url, model: 'm', ...change }));

  it('has its address, its model and its question, and not how it is asked', async () => {
    process.env['IDENTITY_KEY'] = 'of-the-test';
    const patience = { timeout: 5, retries: 1, backoff: 2, maxWait: 9, concurrency: 8, required: false, label: 'x' };
    const place = { keyFrom: 'IDENTITY_KEY', keyHeader: 'x-api-key', cache: { entries: 3 } };
    expect(await http({ ...patience, ...place, batch: 3 })).toBe(await http());
    expect(await openai({ ...patience, ...place })).toBe(await openai());
    const all = [
      await http(),
      await http({ url: `${url}/2` }),
      await openai(),
      await openai({ url: `${url}/2` }),
      await openai({ model: 'n' }),
      await openai({ question: '{prompt}?' }),
      await openai({ answer: 'log-odds' }),
      await openai({ answer: 'number' }),
      await openai({ answer: 'number', range: [0, 5] }),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it('is the same from a configuration, and in a sum', async () => {
    const config = validate(rewardSchema, { name: 'openai', url, model: 'm', weight: 3, timeout: 2 }, 'test');
    const [[reward]] = (await createRewardList([config], 'cpu')) as [[Reward, number]];
    expect(await rewardIdentity(reward)).toBe(await openai());
    expect(await rewardIdentity(combine([[reward, 3]]))).toEqual([[await openai(), 3]]);
    expect(reward.differentiable).toBe(false);
  });
});

it('a reward of a program’s own pacing waits by it alone', async () => {
  await using service = await TestService.start(text('', 500));
  const pacing = new TestPacing();
  const reward = httpReward({ url: service.url, backoff: 60, retries: 9, required: false }, { pacing });
  expect(await valuesOf(reward, 1)).toEqual([NaN]);
  expect(pacing.pauses).toEqual([30, 30, 30, 30, 30, 30, 30, 30, 30]);
});
