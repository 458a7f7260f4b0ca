// The commands with rewards that ask a service, against servers on the loopback interface.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { encode } from 'fast-png';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { encodeEach } from '../../lib/files/png/write.js';
import { score } from '../../lib/rewards/reward.js';
import { httpReward } from '../../lib/rewards/services/http.js';
import type { ScoreSummary } from '../../lib/jobs/evaluate/summary.js';
import { eam } from '../helpers/command-line.js';
import { counting, grays, json, TestService, type Handler } from '../helpers/service.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

const key = 'sk-test-0123456789abcdefghijklmnop';
beforeEach(() => {
  process.env['TEST_JUDGE_KEY'] = key;
});
afterEach(() => {
  delete process.env['TEST_JUDGE_KEY'];
});

function imagesAndPrompts(): { folder: string; images: string; prompts: string } {
  const folder = temporaryFolder();
  const images = join(folder, 'images');
  mkdirSync(images);
  for (const shade of [0, 100, 200])
    writeFileSync(
      join(images, `${shade}.png`),
      encode({ width: 4, height: 4, channels: 1, data: new Uint8Array(16).fill(shade) }),
    );
  const prompts = join(folder, 'prompts.txt');
  writeFileSync(prompts, 'black\ngray\nlight\n');
  return { folder, images, prompts };
}

describe('eam evaluate --images', () => {
  const evaluate = ({ images, prompts }: { images: string; prompts: string }, ...rewards: string[]) =>
    eam(
      'evaluate',
      '--images',
      images,
      '--prompts',
      prompts,
      '--json',
      '--quiet',
      ...rewards.flatMap((each) => ['--reward', each]),
    );

  it('scores by several services, each named on the command line', async () => {
    await using one = await TestService.start(counting());
    await using two = await TestService.start(counting(11));
    const config = JSON.stringify({ name: 'http', url: two.url, label: 'second', keyFrom: 'TEST_JUDGE_KEY' });
    const { code, stdout, stderr } = await evaluate(imagesAndPrompts(), `http=${one.url},batch=2`, config);
    expect([code, stderr]).toEqual([0, '']);
    const { rewards } = JSON.parse(stdout) as ScoreSummary;
    expect(rewards.map(({ reward, images, mean }) => [reward, images, mean])).toEqual([
      ['http', 3, 2],
      ['second', 3, 12],
    ]);
    expect(one.requests.map(({ body }) => body.prompts as string[])).toEqual([['black', 'gray'], ['light']]);
    expect(two.requests[0]!.headers['authorization']).toBe(`Bearer ${key}`);
  });

  it('counts images without an answer', async () => {
    await using service = await TestService.start(json({ results: [1, null, 3], errors: [null, 'no face', null] }));
    const { code, stdout } = await evaluate(imagesAndPrompts(), `http=${service.url},required=false`);
    expect(code).toBe(0);
    const { rewards } = JSON.parse(stdout) as ScoreSummary;
    expect(rewards).toMatchObject([{ reward: 'http', images: 2, notFinite: 1, mean: 2 }]);
    const { stderr } = await eam(
      ...['evaluate', '--images', imagesAndPrompts().images, '--prompts', imagesAndPrompts().prompts],
      ...['--reward', `http=${service.url},required=false`],
    );
    expect(stderr).toMatch(/no answer about an image for "gray": errors\[1\]: no face; such images have no value/);
  });

  it('fails with the service, the tries and the last answer where one is required', async () => {
    await using service = await TestService.start((_, response) => response.writeHead(503).end(`busy, ${key}`));
    const place = imagesAndPrompts();
    const { code, stderr } = await evaluate(place, `http=${service.url},retries=1,backoff=0,keyFrom=TEST_JUDGE_KEY`);
    expect(code).toBe(1);
    expect(stderr).toContain(
      `reward "http" failed: http at ${service.url}: no answer in 2 tries; the last: HTTP 503: "busy, [the key of ` +
        'TEST_JUDGE_KEY]"; with "required": false',
    );
  });

  it('refuses a key that is not in the environment', async () => {
    delete process.env['TEST_JUDGE_KEY'];
    const { code, stderr } = await evaluate(imagesAndPrompts(), 'http=http://127.0.0.1:9/,keyFrom=TEST_JUDGE_KEY');
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('the environment variable TEST_JUDGE_KEY is not set; set it to'),
    ]);
  });
});

/** A configuration of a small run, rewarded by a model behind a service. */
async function runOf(url: string, change: object = {}) {
  const folder = temporaryFolder();
  const config = {
    model: await tinyModelDirectory(),
    adapter: tinyAdapter,
    prompts: ['0', '1'],
    rewards: [
      { name: 'openai', url, model: 'm', keyFrom: 'TEST_JUDGE_KEY', weight: 2, retries: 1, backoff: 0 },
      { name: 'stroke-weight' },
    ],
    algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, modes: true },
    optimizer: { learningRate: 1e-3 },
    steps: 2,
    batch: 4,
    samples: { count: 2, columns: 2, steps: 1 },
    evaluation: { count: 4, steps: 1 },
    output: join(folder, 'run'),
    ...change,
  };
  const path = join(folder, 'config.json');
  writeFileSync(path, JSON.stringify(config));
  return { path, folder, output: config.output };
}

const answering: Handler = json({
  choices: [
    {
      message: { content: 'Yes' },
      logprobs: {
        content: [
          {
            token: 'Yes',
            top_logprobs: [
              { token: 'Yes', logprob: -0.1 },
              { token: 'No', logprob: -3 },
            ],
          },
        ],
      },
    },
  ],
});

/** Everything in a folder, as one text. */
const everythingIn = (folder: string): string =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => `${path}\n${readFileSync(path, 'latin1')}`)
    .join('\n');

describe('a run rewarded by a service', () => {
  it('writes and prints its key nowhere, and is evaluated again', async () => {
    await using service = await TestService.start(answering);
    const { path, folder, output } = await runOf(service.url);
    const trained = await eam('finetune', path);
    expect(trained.code).toBe(0);
    const evaluated = await eam('evaluate', output);
    expect(evaluated.code).toBe(0);
    expect(new Set(service.requests.map(({ headers }) => headers['authorization']))).toEqual(
      new Set([`Bearer ${key}`]),
    );
    const written = everythingIn(folder);
    for (const name of ['config.json', 'metrics.jsonl', 'report.html', 'evaluation.json', 'manifest.json'])
      expect(written).toContain(name);
    expect(written).toContain('"keyFrom":');
    const all = written + [trained, evaluated].map(({ stdout, stderr }) => stdout + stderr).join('\n');
    for (const form of [key, Buffer.from(key).toString('base64').slice(0, 20), key.slice(3)])
      expect(all).not.toContain(form);
    const [metrics] = readFileSync(join(output, 'metrics.jsonl'), 'utf8').split('\n') as [string];
    expect(JSON.parse(metrics)).toMatchObject({
      rewards: { openai: expect.closeTo(1 / (1 + Math.exp(-2.9)), 5) as number },
    });
  });

  it('that loses it prints no key, either, and goes on once it is back', async () => {
    let down = false;
    await using service = await TestService.start((received, response, index) => {
      down ||= index === 5;
      if (!down) return answering(received, response, index);
      return response.writeHead(500).end(`out of memory, ${received.headers['authorization']}`);
    });
    const { path, folder, output } = await runOf(service.url);
    const stopped = await eam('finetune', path);
    expect([stopped.code, stopped.stderr]).toEqual([
      1,
      expect.stringContaining(
        'no answer in 2 tries; the last: HTTP 500: "out of memory, Bearer [the key of TEST_JUDGE_KEY]"',
      ),
    ]);
    expect(everythingIn(folder) + stopped.stdout + stopped.stderr).not.toContain(key);
    down = false;
    expect((await eam('finetune', output, '--resume')).code).toBe(0);
  });

  it('is planned without its key and without asking', async () => {
    delete process.env['TEST_JUDGE_KEY'];
    await using service = await TestService.start(answering);
    const model = fileURLToPath(new URL('../fixtures/sd35-tiny', import.meta.url));
    const large = { model, adapter: { rank: 2, alpha: 2 }, image: { width: 16, height: 16 }, prompts: ['a fox'] };
    const { code, stdout, stderr } = await eam('plan', (await runOf(service.url, large)).path);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/reward openai +0\.0 MiB/);
    expect(service.requests).toEqual([]);
  });
});

const python = spawnSync('python3', ['--version']).status === 0;
describe.skipIf(!python)('examples/reward-server.py', () => {
  it('answers by the protocol', async () => {
    const program = fileURLToPath(new URL('../../examples/reward-server.py', import.meta.url));
    const server = spawn('python3', [program, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = new Promise((resolve) => server.once('close', resolve));
    try {
      const url = await new Promise<string>((resolve, reject) => {
        server.stdout.once('data', (line: Buffer) => resolve(line.toString().trim()));
        server.once('error', reject);
        server.once('close', () => reject(new Error('the server ended')));
      });
      const reward = httpReward({ url, batch: 2, concurrency: 2 });
      const images = grays(5);
      const { values } = await score(reward, images, ['a', 'b', 'ü', '"d"', ''], {});
      const sizes = (await encodeEach(images)).map((png) => -png!.length / 1024);
      expect(values).toEqual(Float32Array.from(sizes));
      expect(reward.tally).toEqual({ requests: 3, retries: 0, cached: 0, missing: 0 });
    } finally {
      server.kill();
      await closed;
    }
  });
});
