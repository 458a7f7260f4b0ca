// A fine-tuning that is watched and acted on through its page while it goes on.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { LiveRun } from '../../lib/jobs/serve/live-run.js';
import { livePartsOf } from '../../lib/jobs/serve/live-parts.js';
import { httpReward } from '../../lib/rewards/services/http.js';
import { combine } from '../../lib/rewards/combine.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { score } from '../../lib/rewards/reward.js';
import { eam } from '../helpers/command-line.js';
import { EventReader } from '../helpers/event-reader.js';
import { configFile, outputOf } from '../helpers/finetune-config.js';
import { finetune } from '../helpers/jobs.js';
import { ask } from '../helpers/raw-http.js';
import { grays, json, prompts, TestService } from '../helpers/service.js';
import { tensorHashes } from '../helpers/tiny-run.js';

const token = 'token-of-this-test';
const settings = (config: string) => JSON.parse(readFileSync(config, 'utf8'));
const post = (url: string, action: string, headers: Record<string, string> = {}) =>
  ask(url, `${new URL(url).pathname}${action}`, { method: 'POST', headers });

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** An observer that remembers notes, and calls `onStep` when a step is done. */
function observer(onStep: (step: number) => void = () => {}) {
  const notes: string[] = [];
  return { notes, begin() {}, advance: onStep, note: (line: string) => void notes.push(line), end() {} };
}

/** Runs a configuration with a page, and reads its events meanwhile. */
function watched(config: object, onStep?: (step: number, url: string) => void) {
  const seen = observer((step) => onStep?.(step, url));
  let url = '';
  let reader!: EventReader;
  let firstPage!: Promise<{ body: string }>;
  const onAddress = (address: string) => {
    url = address;
    reader = new EventReader(`${url}events`);
    firstPage = ask(url, new URL(url).pathname);
  };
  const result = finetune(config, { observer: seen, serve: { port: 0, token, onAddress } });
  return { result, notes: seen.notes, reader: () => reader, firstPage: () => firstPage, url: () => url };
}

describe('finetune with a page', () => {
  it('is watched from its beginning to its end, and computes what it computes unwatched', async () => {
    const plain = configFile({ steps: 4 });
    await finetune(settings(plain));
    const config = configFile({ steps: 4, samples: { count: 6, columns: 3, steps: 2, every: 2 } });
    const { result, reader, firstPage, url } = watched(settings(config));
    const statuses: { parts: Record<string, string>; canSave: boolean; canStop: boolean }[] = [];
    await vi.waitFor(() => expect(url()).not.toBe(''), { timeout: 600_000 });
    const events = (async () => {
      for (;;) {
        const event = await reader().next('status');
        if (!event) return;
        statuses.push(event.data);
      }
    })();
    expect((await firstPage()).body).toContain('A run that begins');
    await result;
    await events;
    expect(tensorHashes(join(outputOf(config), 'checkpoints'), 4)).toEqual(
      tensorHashes(join(outputOf(plain), 'checkpoints'), 4),
    );
    const last = statuses.at(-1)!;
    expect(last.parts['now']).toContain('finished · step 4 of 4');
    expect(last.parts['now']).toMatch(/Memory of the process [\d.]+ [MG]iB, at most/);
    expect(last.parts['notes']).toContain(`writing to ${outputOf(config)}`);
    await expect(ask(url(), '/')).rejects.toThrow('ECONNREFUSED');
  });

  it('writes a checkpoint after the step in which its button is pressed, and goes on', async () => {
    const config = configFile({ steps: 6, checkpoints: { every: 100, keep: 5 } });
    let pressed: Promise<{ status: number }> | undefined;
    const { result, notes } = watched(settings(config), (step, url) => {
      if (step === 2) pressed = post(url, 'checkpoint');
    });
    await result;
    expect((await pressed)!.status).toBe(202);
    const [asked] = notes.flatMap(
      (line) => /^wrote a checkpoint of step (\d), as the page asked$/.exec(line)?.[1] ?? [],
    );
    expect(readdirSync(join(outputOf(config), 'checkpoints')).sort()).toEqual([`step-${asked}`, 'step-6'].sort());
  });

  it('stops after a checkpoint when its button is pressed, and is resumed to the same weights', async () => {
    const whole = configFile({ steps: 5 });
    await finetune(settings(whole));
    const config = configFile({ steps: 5 });
    const answers: Promise<{ status: number; body: string }>[] = [];
    const { result, notes } = watched(settings(config), (step, url) => {
      if (step !== 2) return;
      answers.push(
        post(url, 'stop'),
        post(url, 'stop', { 'eam-confirm': 'yes' }),
        post(url, 'stop', { 'eam-confirm': 'stop' }),
      );
    });
    await expect(result).rejects.toMatchObject({
      code: 'ERR_EAM_INTERRUPTED',
      message: 'interrupted by its live page',
    });
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([400, 400, 202]);
    expect(notes).toContain('stopping, as the page asked; what can be resumed is written first');
    expect(notes.at(-1)).toMatch(/^stopped after step \d; to go on: eam finetune .* --resume$/);
    await finetune(settings(config), { resume: true });
    expect(tensorHashes(join(outputOf(config), 'checkpoints'), 5)).toEqual(
      tensorHashes(join(outputOf(whole), 'checkpoints'), 5),
    );
  });

  it('goes on where its page cannot be made, and says so', async () => {
    const config = configFile({ steps: 4 });
    const { output } = settings(config);
    let page: Promise<{ status: number }> | undefined;
    const { result, notes } = watched(settings(config), (step, url) => {
      if (step !== 1) return;
      writeFileSync(join(output, 'config.json'), '{ "torn');
      page = ask(url, new URL(url).pathname);
    });
    await result.catch(() => {});
    await page;
    expect(notes.filter((line) => line.startsWith('the live page: '))).toHaveLength(1);
    expect(existsSync(join(output, 'checkpoints', 'step-4'))).toBe(true);
  });

  it('is refused before anything is written where the port is taken, and for options that are none', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const config = configFile();
    await expect(finetune(settings(config), { serve: { port } })).rejects.toThrow(
      new ConfigError(`port: expected a free one, got ${port}, which is taken on 127.0.0.1; name another, or none`),
    );
    other.close();
    for (const serve of [{ prot: 1 }, 'yes', 8080, { port: '80' }])
      await expect(finetune(settings(config), { serve } as never)).rejects.toThrow(/^finetune options:\s+serve/);
    expect(existsSync(outputOf(config))).toBe(false);
  });
});

describe('eam finetune --serve', () => {
  it('prints the address though quiet, and ends with 130 when its page stops it', async () => {
    vi.stubEnv('EAM_SERVE_TOKEN', token);
    const config = configFile({ steps: 100_000 });
    const address = await freeAddress();
    const ended = eam('finetune', config, '--quiet', '--serve', new URL(address).host);
    const url = `${address}/${token}/`;
    await vi.waitFor(() => ask(url, `/${token}/`), { timeout: 600_000, interval: 200 });
    expect((await post(url, 'stop', { 'eam-confirm': 'stop' })).status).toBe(202);
    expect(await ended).toEqual({
      code: 130,
      stdout: '',
      stderr: `live page: ${url}\ninterrupted by its live page\n`,
    });
  });

  it.each([
    { serve: 'config.json', said: 'Expected a port, or host:port; the configuration comes before --serve.' },
    { serve: '99999', said: 'Expected a port from 0 to 65535.' },
    { serve: '::1:80', said: 'Expected a port, or host:port' },
    { serve: 'host:', said: 'Expected a port, or host:port' },
  ])('refuses $serve', async ({ serve, said }) => {
    const { code, stderr } = await eam('finetune', configFile(), '--serve', serve);
    expect([code, stderr]).toEqual([2, expect.stringContaining(said)]);
  });

  it('refuses a host that is not this machine’s', async () => {
    const { code, stderr } = await eam('finetune', configFile(), '--serve', '192.0.2.1:0');
    expect([code, stderr]).toEqual([
      2,
      'error: host: expected an address of this machine, got 192.0.2.1 (EADDRNOTAVAIL)\n',
    ]);
  });
});

async function freeAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

describe('the status of a run', () => {
  it('tells of requests to services that run, wait, were repeated, known and missing', async () => {
    const waiting: (() => void)[] = [];
    await using service = await TestService.start((received, response, index) => {
      const isFirst = received.body.prompts[0] === 'prompt 0';
      waiting.push(() => json({ results: [isFirst ? 1 : null] })(received, response, index));
    });
    const asked = httpReward({ url: service.url, batch: 1, concurrency: 2, required: false, label: 'judge<1>' });
    const live = new LiveRun();
    live.follow({
      directory: '/nowhere',
      reward: combine([
        [strokeWeight(), 1],
        [asked, 1],
      ]),
      device: 'cpu',
    });
    const scored = score(asked, grays(5), prompts(5), {});
    await service.received(2);
    const row = () => livePartsOf([], live.status()).services;
    expect(row()).toContain('judge&#60;1&#62;</th><td>2</td><td>3</td><td>2</td><td>0</td><td>0</td><td>0</td>');
    for (let answered = 0; answered < 5; answered++) {
      await service.received(answered + 1);
      waiting[answered]!();
    }
    await scored;
    await score(asked, grays(1), prompts(1), {});
    expect(live.status().services).toEqual([
      { name: 'judge<1>', running: 0, waiting: 0, requests: 5, retries: 0, cached: 1, missing: 4 },
    ]);
  });

  it('tells what is left of a task, less while a step takes its time, and nothing between tasks', () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(0);
    const live = new LiveRun();
    expect(live.status().task).toBeUndefined();
    live.observer.begin(10, 2);
    expect(live.status().task).toEqual({ unit: 'step', done: 2, total: 10, secondsLeft: null });
    now.mockReturnValue(8000);
    live.observer.advance(4, {});
    expect(live.status().task).toEqual({ unit: 'step', done: 4, total: 10, secondsLeft: 24 });
    now.mockReturnValue(11_000);
    expect(live.status().task!.secondsLeft).toBe(21);
    live.observer.end();
    expect(live.status().task).toBeUndefined();
  });

  it('takes a checkpoint for steps alone, once, and outlives one that cannot be written', async () => {
    const { notes, ...inner } = observer();
    const live = new LiveRun({ ...inner, note: (line) => void notes.push(line) });
    let saved = 0;
    const save = async () => void saved++;
    expect(live.requestCheckpoint()).toBe(false);
    live.observer.begin(10, 0, 'image');
    expect(live.requestCheckpoint()).toBe(false);
    live.observer.begin(10, 0);
    expect([live.requestCheckpoint(), live.requestCheckpoint()]).toEqual([true, true]);
    await live.saveWhereAsked(3, save);
    await live.saveWhereAsked(4, save);
    expect([saved, live.status().checkpoint]).toEqual([1, { isWanted: false, written: 3 }]);
    live.requestCheckpoint();
    await live.saveWhereAsked(5, () => Promise.reject(new Error('the disk is full')));
    expect(notes.at(-1)).toBe('the checkpoint that the page asked for was not written: the disk is full');
    live.stop();
    live.stop();
    expect(live.requestCheckpoint()).toBe(false);
    expect(notes.filter((line) => line.startsWith('stopping'))).toHaveLength(1);
  });

  it('keeps the last fifty lines that were said', () => {
    const live = new LiveRun();
    for (let line = 0; line < 60; line++) live.observer.note(`line ${line}`);
    expect(live.status().notes).toEqual(Array.from({ length: 50 }, (_, line) => `line ${line + 10}`));
  });
});
