// What the `http` reward sends, and what it makes of every answer that a server may give.
import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';

import { combine } from '../../lib/rewards/combine.js';
import { score } from '../../lib/rewards/reward.js';
import { httpReward, type HttpRewardOptions } from '../../lib/rewards/services/http.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { encodeGrid } from '../../lib/training/sampler.js';
import { counting, grays, json, prompts, TestPacing, TestService, text, type Handler } from '../helpers/service.js';

/** Scores `count` images by a server of this kind; resolves with values, or the message of what was thrown. */
async function asked(handler: Handler, options: Partial<HttpRewardOptions> = {}, count = 2) {
  await using service = await TestService.start(handler);
  const pacing = new TestPacing();
  const notes: string[] = [];
  const reward = httpReward(
    { url: service.url, retries: 3, ...options },
    { pacing, onNote: (note) => notes.push(note) },
  );
  const { port } = new URL(service.url);
  const clean = (message: string) => message.replaceAll(port, 'PORT');
  const result = await score(reward, grays(count), prompts(count), {}).then(
    ({ values }) => [...values],
    (error: Error) => clean(error.message),
  );
  return { result, requests: service.requests, pauses: pacing.pauses, tally: reward.tally, notes: notes.map(clean) };
}

const failed = (rest: string) => `reward "http" failed: http at http://127.0.0.1:PORT/score: ${rest}`;

describe('the http reward sends', () => {
  it('the PNGs that eam sample would write, and their prompts, as JSON', async () => {
    await using service = await TestService.start(json({ results: [0.5, -2], errors: [null, null] }));
    const reward = httpReward({ url: service.url, headers: { 'x-judge': 'b' } });
    const pixels = [-0.2, 0, 0.1, 0.4999 / 255, 0.5001 / 255, 0.5, 1, 1.3, 0.9, 0.25, 0.75, 1e9];
    const images = Tensor.from([...pixels, ...pixels.slice().reverse()], [2, 3, 2, 2]);
    const { values, grad } = await score(reward, images, ['a fox', 'a "quoted"\nline'], {});
    expect([[...values], grad]).toEqual([[0.5, -2], undefined]);
    const [{ body, headers, path }] = service.requests as [(typeof service.requests)[number]];
    expect([path, headers['content-type'], headers['x-judge']]).toEqual(['/score', 'application/json', 'b']);
    expect(Object.keys(body)).toEqual(['images', 'prompts']);
    expect(body.prompts).toEqual(['a fox', 'a "quoted"\nline']);
    const sent = (body.images as string[]).map((image) => decode(Buffer.from(image, 'base64')));
    expect(sent[0]).toMatchObject({ width: 2, height: 2, channels: 3, depth: 8 });
    const bytes = pixels.map((value) => Math.round(255 * Math.min(1, Math.max(0, value))));
    const byPixel = [0, 1, 2, 3].flatMap((pixel) => [0, 1, 2].map((channel) => bytes[4 * channel + pixel]!));
    expect([...sent[0]!.data]).toEqual(byPixel);
    const second = Tensor.from(pixels.slice().reverse(), [1, 3, 2, 2]);
    expect(sent[1]!.data).toEqual(decode(await encodeGrid(second, 1, {}, 0)).data);
  });

  it('batches of so many images, and puts the answers in the images’ order', async () => {
    const { result, requests, tally } = await asked(counting(), { batch: 3, concurrency: 1 }, 7);
    expect(result).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(requests.map(({ body }) => body.prompts as string[])).toEqual([
      ['prompt 0', 'prompt 1', 'prompt 2'],
      ['prompt 3', 'prompt 4', 'prompt 5'],
      ['prompt 6'],
    ]);
    expect(tally).toEqual({ requests: 3, retries: 0, cached: 0, missing: 0 });
  });

  it('all images of a step at once with batch 0', async () => {
    expect((await asked(counting(), { batch: 0 }, 20)).requests).toHaveLength(1);
  });

  it('no image whose pixels are not finite: it has no value, and the service is not to blame', async () => {
    await using service = await TestService.start(counting());
    const reward = httpReward({ url: service.url });
    const images = Tensor.from([0, NaN, 0.5, 0.5, Infinity, 0], [3, 1, 1, 2]);
    expect([...(await score(reward, images, prompts(3), {})).values]).toEqual([NaN, 1, NaN]);
    expect(service.requests[0]!.body.images).toHaveLength(1);
    expect(reward.tally.missing).toBe(0);
  });

  it('nothing twice for two images that are the same', async () => {
    await using service = await TestService.start(counting());
    const reward = httpReward({ url: service.url });
    const same = Tensor.from(new Float32Array(8), [2, 1, 2, 2]);
    expect([...(await score(reward, same, ['a', 'a'], {})).values]).toEqual([1, 1]);
    expect([...(await score(reward, same, ['a', 'b'], {})).values]).toEqual([1, 2]);
  });
});

describe('an answer that no other request could mend ends the step, required or not, without a second try', () => {
  const endless: Handler = (_, response) => {
    response.writeHead(200);
    const more = () => {
      while (!response.destroyed && response.write('9'.repeat(2 ** 16)));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  };
  it.each([
    {
      what: 'too few results',
      handler: json({ results: [1] }),
      says: 'answer.results: expected 2 entries, one an image, got 1',
    },
    {
      what: 'too many results',
      handler: json({ results: [1, 2, 3], errors: [null, null] }),
      says: 'answer.results: expected 2 entries, one an image, got 3',
    },
    {
      what: 'errors of another length',
      handler: json({ results: [1, 2], errors: [null] }),
      says: 'answer.errors: expected 2 entries, one an image, got 1',
    },
    {
      what: 'strings',
      handler: json({ results: ['0.5', 1] }),
      says: 'answer.results[0]: expected a number, got "0.5"',
    },
    {
      what: 'booleans',
      handler: json({ results: [1, true] }),
      says: 'answer.results[1]: expected a number, got true',
    },
    {
      what: 'strings alone',
      handler: json({ results: ['a', 'b'] }),
      says: 'answer.results[0]: expected a number, got "a", and 1 more',
    },
    { what: 'other names', handler: json({ scores: [1, 2] }), says: 'answer.results: expected an array, but' },
    { what: 'a list', handler: json([1, 2]), says: 'answer: expected an object, got [1,2]' },
    { what: 'an endless answer', handler: endless, says: 'its answer is longer than 1048576 bytes' },
    { what: 'HTTP 404', handler: text('no such page', 404), says: 'HTTP 404: "no such page"' },
    {
      what: 'HTTP 401',
      handler: text('', 401),
      says: 'HTTP 401; name the environment variable of its key in keyFrom',
    },
    {
      what: 'HTTP 302',
      handler: text('', 302, { location: '/login' }),
      says: 'HTTP 302, a redirect to "/login" that drops the images; name it as the url',
    },
    { what: 'HTTP 304', handler: text('', 304), says: 'HTTP 304' },
  ])('$what', async ({ handler, says }) => {
    for (const required of [true, false]) {
      const { result, requests, pauses } = await asked(handler, { required });
      expect(result).toContain(failed(says));
      expect([requests.length, pauses]).toEqual([1, []]);
    }
  });
});

describe('a fault that may pass is tried again, with pauses that grow', () => {
  const broken: Handler = (_, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{"results": [1', () => response.destroy());
  };
  it.each([
    { what: 'HTTP 500', handler: text('out of\n  memory', 500), says: 'HTTP 500: "out of memory"' },
    { what: 'HTTP 503 without a word', handler: text('', 503), says: 'HTTP 503' },
    { what: 'HTTP 429', handler: text('slow down', 429), says: 'HTTP 429: "slow down"' },
    {
      what: 'no JSON',
      handler: text('<html>starting</html>'),
      says: 'its answer is no JSON: "<html>starting</html>"',
    },
    { what: 'half an answer', handler: text('{"results": [1,'), says: 'its answer is no JSON: "{\\"results\\": [1,"' },
    { what: 'an empty answer', handler: text(''), says: 'its answer is no JSON: it is empty' },
    { what: 'a connection that ends mid-answer', handler: broken, says: 'the connection failed: ' },
    {
      what: 'a connection that ends before',
      handler: ((_, response) => response.destroy()) as Handler,
      says: 'the connection failed: other side closed',
    },
  ])('$what', async ({ handler, says }) => {
    const demanded = await asked(handler);
    expect(demanded.result).toContain(failed(`no answer in 4 tries; the last: ${says}`));
    expect(demanded.result).toMatch(/; with "required": false its images are left out of the step$/);
    expect(demanded.requests).toHaveLength(4);
    expect(demanded.pauses).toEqual([0.5, 1, 2]);

    const { result, tally, notes } = await asked(handler, { required: false, batch: 1, concurrency: 1 });
    expect(result).toEqual([NaN, NaN]);
    expect(tally).toEqual({ requests: 8, retries: 6, cached: 0, missing: 2 });
    expect(notes).toEqual([expect.stringContaining('no answer about an image for "prompt 0": no answer in 4 tries')]);
  });

  it('a server that nobody runs', async () => {
    const { url } = await (async () => {
      await using service = await TestService.start(counting());
      return { url: service.url };
    })();
    const options = { url, retries: 1 };
    const demanded = httpReward(options, { pacing: new TestPacing() });
    await expect(score(demanded, grays(1), ['a'], {})).rejects.toThrow(
      /no answer in 2 tries; the last: the connection failed: connect ECONNREFUSED 127\.0\.0\.1/,
    );
    const optional = httpReward({ ...options, required: false }, { pacing: new TestPacing() });
    expect([...(await score(optional, grays(1), ['a'], {})).values]).toEqual([NaN]);
  });

  it('and forgotten once it has passed: a server that fails every other time answers for all', async () => {
    const answer = counting();
    const { result, tally } = await asked(
      (received, response, index) =>
        index % 2 ? answer(received, response, index) : response.writeHead(500).end('not now'),
      { batch: 1, concurrency: 1, retries: 1 },
      5,
    );
    expect(result).toEqual([1, 2, 3, 4, 5]);
    expect(tally).toEqual({ requests: 10, retries: 5, cached: 0, missing: 0 });
  });

  it('never with retries 0', async () => {
    const { result, requests } = await asked(text('', 500), { retries: 0 });
    expect([result, requests.length]).toEqual([expect.stringContaining('no answer in 1 try; the last: HTTP 500'), 1]);
  });
});

describe('an image without an answer', () => {
  it.each([
    { answer: '{"results": [1, null]}', why: 'results[1]: expected a finite number, got null' },
    { answer: '{"results": [1, NaN], "errors": [null, null]}', why: 'results[1]: expected a finite number, got null' },
    { answer: '{"results": [1, -Infinity]}', why: 'results[1]: expected a finite number, got null' },
    { answer: '{"results": [1, 1e39]}', why: 'results[1]: expected a finite number, got 1e+39' },
    { answer: '{"results": [1, null], "errors": [null, "it is NaN"]}', why: 'errors[1]: it is NaN' },
    { answer: '{"results": [1, NaN], "errors": [null, "a \\"NaN\\" \\\\"]}', why: 'errors[1]: a "NaN" \\' },
    { answer: '{"results": [1, 7], "errors": [null, "no face"]}', why: 'errors[1]: no face' },
  ])('is an error, or NaN, and no other try: $answer', async ({ answer, why }) => {
    const demanded = await asked(text(answer));
    const what = `no answer about an image for "prompt 1": ${why}`;
    expect(demanded.result).toBe(failed(`${what}; with "required": false its images are left out of the step`));
    const { result, requests, tally, notes } = await asked(text(answer), { required: false });
    expect([result, requests.length, tally.missing]).toEqual([[1, NaN], 1, 1]);
    expect(notes).toEqual([
      `http at http://127.0.0.1:PORT/score: ${what}; such images have no value, and logs count them from here on`,
    ]);
  });

  it.each([400, 413, 422])('is one whose request is declined with HTTP %i', async (status) => {
    const handler: Handler = (received, response, index) =>
      index === 1 ? response.writeHead(status).end('indecent') : json({ results: [3] })(received, response, index);
    const one = { batch: 1, concurrency: 1 };
    const { result, requests } = await asked(handler, { ...one, required: false }, 3);
    expect([result, requests.length]).toEqual([[3, NaN, 3], 3]);
    expect((await asked(handler, one, 3)).result).toContain(
      failed(`no answer in 1 try; the last: HTTP ${status}: "indecent"`),
    );
  });

  it('is counted in a sum of rewards, under its label', async () => {
    await using service = await TestService.start(json({ results: [1, null] }));
    const judge = httpReward({ url: service.url, label: 'judge', required: false });
    const { values, parts } = await score(combine([[judge, 2]]), grays(2), prompts(2), {});
    expect([[...values], parts]).toEqual([[2, NaN], { judge: Float32Array.of(1, NaN) }]);
  });
});
