// The pages of runs in a folder: what they show, what their readers are told, and what they give away of the disk.
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { PageServer } from '../../lib/jobs/serve/page-server.js';
import { findRuns } from '../../lib/jobs/serve/run-folder.js';
import { RunSite } from '../../lib/jobs/serve/run-site.js';
import { EventReader } from '../helpers/event-reader.js';
import { ask } from '../helpers/raw-http.js';
import { append, logged, png, writeRun } from '../helpers/run-folder.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const token = 'token-of-this-test';
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Serves a folder; `get` asks below the token. */
async function serve(folder: string) {
  const faults: string[] = [];
  const onFault = (line: string) => void faults.push(line);
  const site = new RunSite(() => findRuns(folder), onFault, undefined, 20);
  const { server, url } = await PageServer.start(site, { port: 0, token }, onFault);
  const close = async () => {
    await Promise.all([site.close(), server.close()]);
  };
  closing.push(close);
  const reader = (query = '', lastId?: string) => {
    const opened = new EventReader(`${url}events${query}`, lastId);
    closing.unshift(async () => opened[Symbol.dispose]());
    return opened;
  };
  return { url, faults, close, reader, get: (path: string) => ask(url, `/${token}/${path}`) };
}

describe('the page', () => {
  it('shows a run, its stages, and what was left out of it', async () => {
    const run = writeRun(join(temporaryFolder(), 'bold'));
    append(run, logged(4, { dropped: 2, clipped: 1, capped: 3, skipped: true, nonFiniteRewards: { bold: 2 } }));
    const { get } = await serve(run);
    const answer = await get('');
    expect(answer.status).toBe(200);
    const body = Buffer.from(answer.body, 'latin1').toString();
    expect(body).toContain('<strong>bold</strong> · stopped · step 4 of 10 · 2 s a step');
    expect(body).toContain('<progress max="10" value="4" aria-label="steps of bold">');
    const row = (name: string, value: string) => `<tr><th scope="row">${name}</th><td>${value}</td></tr>`;
    expect(body).toContain(row('rollout', '0.5 s (25 %)'));
    expect(body).toContain(row('all else', '0.13 s (6 %)'));
    expect(body).toContain(row('samples dropped: a reward, gradient or loss was not finite', '2'));
    expect(body).toContain(row('values of &#34;bold&#34; that were missing or not finite', '2'));
    expect(body).toContain(row('updates left out: no gradient, or none that is finite', '1'));
    // Nothing can be done to a run of another process.
    expect(body).not.toContain('id="stop"');
  });

  it('runs its own scripts and no other, whatever settings hold', async () => {
    const evil = '</script><script>alert(1)</script><img src=x onerror=alert(1)>';
    const run = writeRun(join(temporaryFolder(), 'a"><script>alert(1)<'), { config: { prompts: [evil], note: evil } });
    append(run, logged(4, { nonFiniteRewards: { [evil]: 1 } }));
    const { get } = await serve(join(run, '..'));
    const { headers, body } = await get('');
    const nonce = /script-src 'nonce-([^']+)'/.exec(headers['content-security-policy']!)![1]!;
    const scripts = body.match(/<script[^>]*>/g)!;
    expect(scripts.filter((tag) => tag !== `<script nonce="${nonce}">`)).toEqual([
      '<script type="application/json" id="stream">',
      '<script type="application/json" id="metrics">',
    ]);
    expect(body).not.toContain('<img src=x');
    expect((await get('')).headers['content-security-policy']).not.toContain(nonce);
  });

  it('is of the runs that its address names, side by side, and else of the latest', async () => {
    const folder = temporaryFolder();
    for (const [name, learningRate] of [
      ['a', 1e-3],
      ['deep/er/b', 1e-4],
    ] as const)
      writeRun(join(folder, name), { config: { optimizer: { learningRate } } });
    mkdirSync(join(folder, 'a', 'checkpoints', 'step-3'), { recursive: true });
    writeFileSync(join(folder, 'a', 'checkpoints', 'step-3', 'config.json'), '{}');
    writeFileSync(join(folder, 'a', 'checkpoints', 'step-3', 'metrics.jsonl'), '');
    const { get } = await serve(folder);
    const both = (await get('?run=a&run=deep%2Fer%2Fb')).body;
    expect(both).toContain('optimizer.learningRate');
    expect(both.match(/type="checkbox" name="run" value="[^"]+" checked/g)).toHaveLength(2);
    expect(both).not.toContain('checkpoints/step-3');
    expect(both).toContain('"events":"events?run=a&run=deep%2Fer%2Fb"');
    for (const latest of ['', '?run=none', '?run=../a'])
      expect((await get(latest)).body).not.toContain('optimizer.learningRate"');
    expect((await get('?run=a')).body).toContain('value="a" checked');
  });

  it('says that there is no run yet, and takes up the first', async () => {
    const folder = temporaryFolder();
    const { get, reader } = await serve(folder);
    expect((await get('')).body).toContain('No run yet');
    const events = reader();
    expect((await events.next('status'))!.data.canStop).toBe(false);
    writeRun(join(folder, 'first'));
    expect((await events.next('data'))!.data.title).toBe('first');
  });

  it('leaves out a run that cannot be read, and tells so once', async () => {
    const folder = temporaryFolder();
    writeRun(join(folder, 'good'));
    writeRun(join(folder, 'bad'));
    writeFileSync(join(folder, 'bad', 'config.json'), '{ "steps": ');
    const { get, faults } = await serve(folder);
    for (let again = 0; again < 2; again++)
      expect((await get('?run=good&run=bad')).body).toContain('<strong>good</strong>');
    expect(faults).toEqual([expect.stringMatching(/^the live page: .*config\.json/)]);
  });
});

describe('what is given away', () => {
  it('are grids of the runs, and nothing else of the disk', async () => {
    const folder = temporaryFolder();
    const run = writeRun(join(folder, 'runs', 'a'), { grids: [0, 5] });
    const samples = join(run, 'samples');
    writeFileSync(join(folder, 'secret.png'), png());
    symlinkSync(join(folder, 'secret.png'), join(samples, 'step-6.png'));
    writeFileSync(join(samples, 'step-7.png'), 'no picture');
    mkdirSync(join(samples, 'step-8.png'));
    const { get, faults } = await serve(join(folder, 'runs'));
    expect(await get('grids/a/5.png')).toMatchObject({
      status: 200,
      headers: { 'content-type': 'image/png' },
      body: Buffer.from(png(5)).toString('latin1'),
    });
    const refused = [
      ...[
        '6.png',
        '7.png',
        '8.png',
        '9.png',
        '5',
        'step-5.png',
        '05.png/',
        '5.png/x',
        '..%2f..%2fconfig.json',
        '-1.png',
      ].map((name) => `grids/a/${name}`),
      ...['..', '%2e%2e', '..%2f..%2fsecret', 'a%2f..', 'A', '', '%00'].map((key) => `grids/${key}/0.png`),
      ...[
        'config.json',
        'metrics.jsonl',
        'samples/step-0.png',
        'a/config.json',
        'events/x',
        'grids',
        '%2fetc%2fpasswd',
      ],
    ];
    for (const path of refused)
      expect([path, [403, 404]]).toEqual([path, expect.arrayContaining([(await get(path)).status])]);
    expect(faults).toEqual([]);
  });

  it('lets nobody stop or save what another process does', async () => {
    const { url } = await serve(writeRun(join(temporaryFolder(), 'a')));
    for (const action of ['stop', 'checkpoint', 'anything'])
      expect(
        (await ask(url, `/${token}/${action}`, { method: 'POST', headers: { 'eam-confirm': 'stop' } })).status,
      ).toBe(404);
  });
});

describe('readers are told', () => {
  it('all at first, then new steps alone, and a line when it is whole', async () => {
    const run = writeRun(join(temporaryFolder(), 'a'));
    const { reader } = await serve(run);
    const events = reader();
    const first = (await events.next('data'))!.data;
    expect(first.runs[0].axes.steps).toEqual([1, 2, 3]);
    const [line4, line5] = [logged(4), logged(5)].map((row) => `${JSON.stringify(row)}\n`);
    appendFileSync(join(run, 'metrics.jsonl'), `${line4}{ torn\n${line5!.slice(0, 40)}`);
    const rows = (await events.next('rows'))!.data;
    expect(rows.axes).toEqual([{ steps: [4], evaluations: [60], seconds: [8] }]);
    expect(
      rows.charts.map(({ key, lines }: { key: string; lines: { values: number[] }[] }) => [key, lines[0]!.values]),
    ).toEqual([
      ['reward', [0.4]],
      ['loss', [0.25]],
      ['gradNorm', [0.1]],
    ]);
    appendFileSync(join(run, 'metrics.jsonl'), line5!.slice(40));
    expect((await events.next('rows'))!.data.axes[0].steps).toEqual([5]);
    expect((await events.next('status'))!.data.parts.now).toContain('step 5 of 10');
  });

  it('what the panel measured at a new step', async () => {
    const run = writeRun(join(temporaryFolder(), 'run'));
    append(run, logged(4, { panel: { saturation: 0.25 } }));
    const { reader } = await serve(run);
    const events = reader();
    await events.next('data');
    append(run, logged(5, { panel: { saturation: 0.5 } }));
    const { charts } = (await events.next('rows'))!.data;
    const saturation = charts.find(({ key }: { key: string }) => key === 'panel/saturation');
    expect(saturation.lines[0].values).toEqual([0.5]);
  });

  it("all again of an alarm, which a chart's note tells of, and of what the pretrained model measured", async () => {
    const run = writeRun(join(temporaryFolder(), 'run'));
    const { reader } = await serve(run);
    const events = reader();
    await events.next('data');
    append(run, logged(4, { panel: { saturation: 0.5, alarms: ['saturation'] } }));
    const noteIn = ({ charts }: { charts: { key: string; note: string }[] }) =>
      charts.find(({ key }) => key === 'panel/saturation')!.note;
    expect(noteIn((await events.next('data'))!.data)).toContain('Alarm after step 4.');
    writeFileSync(join(run, 'panel.json'), JSON.stringify({ baseline: { saturation: { mean: 0.25, std: 0.1 } } }));
    const { charts } = (await events.next('data'))!.data;
    const { lines } = charts.find(({ key }: { key: string }) => key === 'panel/saturation');
    expect(lines.map(({ name }: { name: string }) => name)).toContain('pretrained');
  });

  it('the same words with new steps as with all of a long run', async () => {
    const run = writeRun(join(temporaryFolder(), 'run'), { steps: 0, config: { steps: 3000 } });
    // A distillation logs what each step took, not what all have.
    const row = (step: number) => logged(step, { total: undefined, forwards: 10, backwards: 5, vjps: 0 });
    append(run, ...Array.from({ length: 1500 }, (_, at) => row(at + 1)));
    const { reader } = await serve(run);
    const events = reader();
    await events.next('data');
    append(run, row(1501));
    const { figures } = (await events.next('rows'))!.data.parts;
    expect(figures).toBe((await reader().next('data'))!.data.parts.figures);
  });

  it('all again of a new grid, a new state, and metrics that a resumed run has cut', async () => {
    const run = writeRun(join(temporaryFolder(), 'a'), { steps: 5 });
    const { reader } = await serve(run);
    const events = reader();
    await events.next('data');
    writeFileSync(join(run, 'samples', 'step-5.png'), png(5));
    expect((await events.next('data'))!.data.runs[0].grids.map(({ src }: { src: string }) => src)).toEqual([
      'grids/a/0.png',
      'grids/a/5.png',
    ]);
    writeFileSync(join(run, 'run.json'), JSON.stringify({ state: 'failed', problem: 'no memory', versions: {} }));
    expect((await events.next('data'))!.data.parts.header).toContain('no memory');
    const kept = readFileSync(join(run, 'metrics.jsonl'), 'utf8').split('\n').slice(0, 2);
    writeFileSync(join(run, 'cut'), `${kept.join('\n')}\n${JSON.stringify(logged(3, { loss: 7 }))}\n`);
    renameSync(join(run, 'cut'), join(run, 'metrics.jsonl'));
    const { charts, runs } = (await events.next('data'))!.data;
    expect(runs[0].axes.steps).toEqual([1, 2, 3]);
    expect(charts.find(({ key }: { key: string }) => key === 'loss').lines[0].values).toEqual([1, 0.5, 7]);
  });

  it('what came after the last event that they have, when they connect again', async () => {
    const run = writeRun(join(temporaryFolder(), 'a'));
    const { reader, close } = await serve(run);
    const { id } = (await reader().next('data'))!;
    append(run, logged(4));
    append(run, logged(5));
    expect((await reader('', id).next('rows'))!.data.axes[0].steps).toEqual([4, 5]);
    for (const wrong of ['nonsense', '-', '~~', `${id}0`, 'x-0-3'])
      expect((await reader('', wrong).next('data'))!.data.runs[0].axes.steps).toEqual([1, 2, 3, 4, 5]);
    await close();
    // A position that another server gave means nothing to this one, so that all is sent.
    expect((await (await serve(run)).reader('', id).next('data'))!.data.runs[0].axes.steps).toHaveLength(5);
  });

  it('to begin anew where one of the runs is gone, and how it ends', async () => {
    const folder = temporaryFolder();
    for (const name of ['a', 'b']) writeRun(join(folder, name));
    const { reader, close } = await serve(folder);
    const events = reader('?run=a&run=b');
    await events.next('data');
    rmSync(join(folder, 'b'), { recursive: true });
    expect(await events.next('reload')).toBeDefined();
    const other = reader('?run=a');
    await other.next('data');
    append(join(folder, 'a'), logged(4));
    await other.next('rows');
    const ended = close();
    expect((await other.next('data'))!.data.runs[0].axes.steps).toHaveLength(4);
    expect(await other.next('end')).toBeDefined();
    expect(await other.next('anything')).toBeUndefined();
    await ended;
  });
});
