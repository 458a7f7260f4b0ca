// How requests to a service are paced: pauses, time-outs, how many at once, and what ends them.
import { setImmediate } from 'node:timers/promises';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { encodeEach } from '../../lib/files/png/write.js';
import { score, type Reward } from '../../lib/rewards/reward.js';
import { httpReward } from '../../lib/rewards/services/http.js';
import { backoffAfter, realPacing, secondsAsked } from '../../lib/runtime/pacing.js';
import { counting, grays, json, prompts, TestPacing, TestService, text, type Handler } from '../helpers/service.js';

const scored = async (reward: Reward, count: number, signal?: AbortSignal) =>
  Array.from((await score(reward, grays(count), prompts(count), { signal })).values as Float32Array);

afterEach(() => vi.restoreAllMocks());

describe('pauses between tries', () => {
  it('double from half to all of the first, up to a minute', () => {
    const at = (random: number) => [1, 2, 3, 4, 5, 6, 7, 8, 100].map((tries) => backoffAfter(tries, 1, random));
    expect(at(0)).toEqual([0.5, 1, 2, 4, 8, 16, 30, 30, 30]);
    expect(at(1)).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
    expect(backoffAfter(2, 0.25, 0.5)).toBe(0.375);
  });

  it.each([
    { header: '7', seconds: 7 },
    { header: ' 1.5 ', seconds: 1.5 },
    { header: 'Thu, 01 Jan 1970 00:02:00 GMT', seconds: 20 },
    { header: 'Thu, 01 Jan 1970 00:00:00 GMT', seconds: 0 },
    { header: 'soon', seconds: undefined },
    { header: '', seconds: undefined },
    { header: null, seconds: undefined },
  ])('read retry-after: $header', ({ header, seconds }) => {
    expect(secondsAsked(header, 100_000)).toBe(seconds);
  });

  it.each([
    { what: 'seconds', header: '7', pause: 7 },
    { what: 'a date', header: 'Thu, 01 Jan 1970 00:02:00 GMT', pause: 20 },
    { what: 'less than the back-off', header: '0', pause: 0.5 },
    { what: 'what cannot be read', header: 'later', pause: 0.5 },
  ])('are as long as a service asks with HTTP 429: $what', async ({ header, pause }) => {
    const answer = counting();
    await using service = await TestService.start((received, response, index) =>
      index === 0 ? response.writeHead(429, { 'retry-after': header }).end() : answer(received, response, index),
    );
    const pacing = new TestPacing({ now: 100_000 });
    expect(await scored(httpReward({ url: service.url }, { pacing }), 2)).toEqual([1, 2]);
    expect(pacing.pauses).toEqual([pause]);
  });

  it('are not longer than maxWait: a service that asks for more has no answer', async () => {
    await using service = await TestService.start(text('quota', 429, { 'retry-after': '86400' }));
    const pacing = new TestPacing();
    await expect(scored(httpReward({ url: service.url, maxWait: 60 }, { pacing }), 1)).rejects.toThrow(
      'no answer in 1 try; the last: HTTP 429: "quota"; it asks to be left alone for 86400 s, longer than maxWait, ' +
        '60 s',
    );
    expect(pacing.pauses).toEqual([]);
    const optional = httpReward({ url: service.url, required: false }, { pacing });
    expect(await scored(optional, 1)).toEqual([NaN]);
  });

  it('take their chance from where they are told to, and from the machine otherwise', async () => {
    await using service = await TestService.start(text('', 500));
    const pacing = new TestPacing({ random: 0.5 });
    const reward = httpReward({ url: service.url, retries: 2, backoff: 4, required: false }, { pacing });
    await scored(reward, 1);
    expect(pacing.pauses).toEqual([3, 6]);
    const drawn = Array.from({ length: 8 }, realPacing.random);
    expect(new Set(drawn).size).toBe(8);
    expect(Math.abs(realPacing.now() - Date.now())).toBeLessThan(3_600_000);
    await realPacing.wait(1, new AbortController().signal);
    const stopped = AbortSignal.abort();
    await expect(realPacing.wait(1e9, stopped)).rejects.toThrow();
  });
});

describe('a try that takes too long', () => {
  const headersOnly: Handler = (_, response) => response.writeHead(200).flushHeaders();
  const halfBody: Handler = (_, response) => void response.writeHead(200).write('{"results":');
  const halfError: Handler = (_, response) => void response.writeHead(500).write('out of');
  it.each([
    { what: 'without an answer', handler: () => {}, begun: false },
    { what: 'with headers alone', handler: headersOnly, begun: true },
    { what: 'with half an answer', handler: halfBody, begun: true },
    { what: 'with half an error', handler: halfError, begun: true },
  ])('is given up and repeated: $what', async ({ handler, begun }) => {
    await using service = await TestService.start(handler);
    const sent = vi.spyOn(globalThis, 'fetch');
    const pacing = new TestPacing({ timeout: 77 });
    const result = scored(httpReward({ url: service.url, timeout: 77, retries: 1 }, { pacing }), 1);
    result.catch(() => {});
    for (const tries of [1, 2]) {
      await service.received(tries);
      if (begun) await sent.mock.results[tries - 1]!.value;
      await setImmediate();
      pacing.expire();
      // The connection is not left open.
      await service.idle();
    }
    await expect(result).rejects.toThrow('no answer in 2 tries; the last: no answer within 77 s');
  });

  it('leaves no clock running after an answer', async () => {
    await using service = await TestService.start(counting());
    let running = 0;
    const pacing = {
      ...realPacing,
      wait: (milliseconds: number, signal: AbortSignal) => {
        running++;
        return realPacing.wait(milliseconds, signal).finally(() => running--);
      },
    };
    await scored(httpReward({ url: service.url }, { pacing }), 1);
    await setImmediate();
    expect(running).toBe(0);
  });
});

describe('requests at once', () => {
  it('are as many as concurrency says, and no more', async () => {
    const open: (() => void)[] = [];
    const answer = counting();
    await using service = await TestService.start((...request) => open.push(() => answer(...request)));
    const sent = vi.spyOn(globalThis, 'fetch');
    const reward = httpReward({ url: service.url, batch: 1, concurrency: 3 });
    const both = [scored(reward, 5), score(reward, grays(4, 100), prompts(4), {})];
    for (let answered = 0; answered < 9; answered++) {
      const expected = Math.min(9, answered + 3);
      await service.received(expected);
      expect(sent).toHaveBeenCalledTimes(expected);
      // From the third answer on, the requests of both calls are in the queue.
      if (answered >= 3 && answered <= 6) expect(reward.queue).toEqual({ running: 3, waiting: 6 - answered });
      open.shift()!();
    }
    await Promise.all(both);
    await setImmediate();
    expect(reward.queue).toEqual({ running: 0, waiting: 0 });
    expect(sent).toHaveBeenCalledTimes(9);
  });

  it('raise no warning, however many', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    await using service = await TestService.start(counting());
    const reward = httpReward({ url: service.url, batch: 1, concurrency: 16 });
    const controller = new AbortController();
    for (let call = 0; call < 12; call++)
      await score(
        reward,
        grays(16, 20 * call),
        prompts(16).map((each) => `${each} ${call}`),
        { signal: controller.signal },
      );
    await setImmediate();
    process.off('warning', onWarning);
    expect([service.requests.length, warnings]).toEqual([192, []]);
  });

  it('all end with the first that fails, and none follows', async () => {
    await using service = await TestService.start(({ body }, response) => {
      if (body.prompts[0] === 'prompt 2') response.writeHead(404).end();
    });
    const reward = httpReward({ url: service.url, batch: 1, concurrency: 3 }, { pacing: new TestPacing() });
    await expect(scored(reward, 50)).rejects.toThrow(/HTTP 404/);
    expect(service.requests).toHaveLength(3);
  });
});

describe('an abort ends the waiting at once, with its reason', () => {
  const reason = new Error('enough');
  const never: Handler = () => {};
  // Asked directly: `score` would leave a reward behind that takes its time.
  const direct = (reward: Reward, count: number, signal?: AbortSignal) =>
    reward.score(grays(count), prompts(count), { signal });

  it('for an answer, and for others that wait for their turn', async () => {
    await using service = await TestService.start(never);
    const reward = httpReward({ url: service.url, batch: 1, concurrency: 2 }, { pacing: new TestPacing() });
    const controller = new AbortController();
    const calls = [direct(reward, 8, controller.signal), direct(reward, 8, controller.signal)];
    await service.received(2);
    controller.abort(reason);
    for (const call of calls) await expect(call).rejects.toBe(reason);
    // The connections are not left open.
    await service.idle();
    expect(service.requests).toHaveLength(2);
  });

  it.each([
    { what: 'after its images are encoded', until: () => encodeEach(grays(1)) },
    { what: 'while its images are encoded', until: async () => {} },
  ])('for a place among requests that go on, $what', async ({ until }) => {
    await using service = await TestService.start(never);
    const reward = httpReward({ url: service.url, concurrency: 1 }, { pacing: new TestPacing() });
    const first = direct(reward, 1);
    first.catch(() => {});
    await service.received(1);
    const controller = new AbortController();
    const second = reward.score(grays(1, 9), ['b'], { signal: controller.signal });
    // The native thread encodes in turn: the second call has come to its request by then.
    await until();
    await setImmediate();
    controller.abort(reason);
    await expect(second).rejects.toBe(reason);
    expect(service.requests).toHaveLength(1);
  });

  it('between tries', async () => {
    await using service = await TestService.start(text('', 503));
    const controller = new AbortController();
    const pacing = new TestPacing({
      onPause: () => {
        controller.abort(reason);
        return new Promise(() => {});
      },
    });
    const endless = { ...pacing, wait: pacing.wait.bind(pacing), random: pacing.random, now: pacing.now };
    const reward = httpReward({ url: service.url }, { pacing: endless });
    await expect(direct(reward, 1, controller.signal)).rejects.toBe(reason);
    expect(service.requests).toHaveLength(1);
  });

  it('in the midst of an answer', async () => {
    await using service = await TestService.start((_, response) => void response.writeHead(200).write('{'));
    const controller = new AbortController();
    const reward = httpReward({ url: service.url }, { pacing: new TestPacing() });
    const call = direct(reward, 1, controller.signal);
    await service.received(1);
    controller.abort(reason);
    await expect(call).rejects.toBe(reason);
  });

  it('before anything was asked', async () => {
    await using service = await TestService.start(counting());
    const reward = httpReward({ url: service.url });
    await expect(reward.score(grays(1), ['a'], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(service.requests).toEqual([]);
  });
});

describe('redirects', () => {
  it.each([307, 308])('with HTTP %i repeat the request on the same host, with its headers', async (status) => {
    const answer = counting();
    await using service = await TestService.start((received, response, index) =>
      received.path === '/score'
        ? response.writeHead(status, { location: '/v2?x=1' }).end('moved')
        : answer(received, response, index),
    );
    expect(await scored(httpReward({ url: service.url, headers: { 'x-team': 'red' } }), 2)).toEqual([1, 2]);
    const [first, second] = service.requests as [(typeof service.requests)[number], (typeof service.requests)[number]];
    expect(second).toMatchObject({ path: '/v2?x=1', body: first.body, headers: { 'x-team': 'red' } });
  });

  it('are followed five times', async () => {
    await using service = await TestService.start(text('', 307, { location: '/score' }));
    await expect(scored(httpReward({ url: service.url }), 1)).rejects.toThrow(/it redirects more than 5 times/);
    expect(service.requests).toHaveLength(6);
  });

  it.each(['ftp://example.org/', 'http://', 'file:///etc/passwd'])('to %s are refused', async (location) => {
    await using service = await TestService.start(text('', 308, { location }));
    await expect(scored(httpReward({ url: service.url }), 1)).rejects.toThrow(
      `it redirects to "${location}", which is no address of http or https`,
    );
  });

  it('without a place to go to are errors', async () => {
    await using service = await TestService.start(json({}, 307));
    await expect(scored(httpReward({ url: service.url }), 1)).rejects.toThrow(/HTTP 307: "{}"/);
  });
});
