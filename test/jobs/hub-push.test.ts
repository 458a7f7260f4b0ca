// Pushing an adapter to a hub: what is uploaded, what the card says, and what it must not say.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { HubError } from '../../lib/jobs/hub/error.js';
import { pushAdapter, type PushOptions } from '../../lib/jobs/hub/push.js';
import { readAdapterConfig } from '../../lib/models/adapter-files.js';
import { binding } from '../../lib/runtime/native/index.js';
import { goodToken, status, writeToken } from '../helpers/hub.js';
import { emptyFolder, hubHome, problemOf } from '../helpers/hub-home.js';
import { tinySd3 } from '../helpers/sd3.js';

const home = hubHome();
beforeAll(() => void binding());
beforeEach(() => vi.stubEnv('HF_TOKEN', writeToken));

const id = 'artists/bold';
const base = 'stabilityai/stable-diffusion-3.5-medium';
const push = (source: string, options: PushOptions = {}) =>
  pushAdapter(source, id, { report: (line) => home.lines.push(line), pacing: home.pacing, ...options });
const uploaded = (path: string) => home.hub.repositories.get(id)?.files.get(path)?.toString();

/** A finished run of three steps, as far as a push reads it. */
function writeRun(change: Record<string, unknown> = {}): string {
  const run = emptyFolder(join(home.folder, 'run'));
  const checkpoint = emptyFolder(join(run, 'checkpoints/step-3'));
  for (const name of ['adapter_config.json', 'adapter_model.safetensors'])
    copyFileSync(join(tinySd3, 'lora_peft', name), join(checkpoint, name));
  const settings = join(checkpoint, 'adapter_config.json');
  const json = JSON.parse(readFileSync(settings, 'utf8')) as object;
  writeFileSync(settings, JSON.stringify({ ...json, base_model_name_or_path: '/home/alice/models/sd35' }));
  const config = {
    model: '/home/alice/models/sd35',
    prompts: ['a secret prompt'],
    rewards: [
      { name: 'pickscore', weight: 2, directory: '/home/alice/rewards' },
      { name: 'http', weight: 1, url: 'http://10.0.0.1/score' },
    ],
    algorithm: { name: 'eam', C: 1, lambda: 12 },
    optimizer: { learningRate: 1e-3 },
    steps: 3,
    batch: 8,
    output: run,
    ...change,
  };
  writeFileSync(join(run, 'config.json'), JSON.stringify(config));
  const total = { forwards: 40, vjps: 0, backwards: 20, seconds: 75 };
  const metrics = [1, 2, 3].map((step) => JSON.stringify({ step, reward: step / 4, total }));
  writeFileSync(join(run, 'metrics.jsonl'), `${metrics.join('\n')}\n`);
  const measured = (mean: number) => ({ reward: { mean, std: 0.5 }, rewards: {} });
  writeFileSync(
    join(run, 'evaluation.json'),
    JSON.stringify({ count: 64, seed: '2', before: measured(0.25), after: measured(0.75), gain: 1 }),
  );
  mkdirSync(join(run, 'samples'));
  for (const step of [0, 2, 3]) writeFileSync(join(run, `samples/step-${step}.png`), `png ${step}`);
  return checkpoint;
}

describe('pushAdapter', () => {
  it('uploads an adapter with a card into a new private repository', async () => {
    const checkpoint = writeRun();
    const { url, files, commit } = await push(checkpoint, { base });
    expect(url).toBe(`${home.hub.url}/${id}`);
    expect(files.sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'images/step-0.png',
      'images/step-3.png',
      'pytorch_lora_weights.safetensors',
    ]);
    const repository = home.hub.repositories.get(id)!;
    expect(repository).toMatchObject({ private: true, commit });
    const weights = readFileSync(join(checkpoint, 'adapter_model.safetensors'));
    expect(repository.files.get('adapter_model.safetensors')!.equals(weights)).toBe(true);
    expect(home.hub.requests.filter(({ path }) => path.includes('/commit/main'))).toHaveLength(1);
  });

  it('says base, rewards, settings, metrics and grids in the card, and leaves the licence open', async () => {
    await push(writeRun(), { base });
    const card = uploaded('README.md')!;
    const [, yaml] = card.split('---\n');
    expect(yaml).toContain(`base_model: "${base}"\nbase_model_relation: adapter\nlibrary_name: diffusers`);
    expect(yaml).toMatch(/^# license: /m);
    expect(yaml).not.toMatch(/^license:/m);
    expect(card).toContain('fine-tuned towards pickscore (weight 2), http');
    expect(card).toContain('![Before training](images/step-0.png)');
    expect(card).toContain('![After step 3](images/step-3.png)');
    expect(card).toContain('| reward | 0.250 ± 0.500 | 0.750 ± 0.500 | +1.00 σ |');
    expect(card).toContain('| `algorithm.lambda` | 12 |');
    expect(card).toContain('| reward at step 3 | 0.750 |');
    expect(card).toContain('| network evaluations | 60 |');
    expect(card).toContain(`eam sample --model ${base} --adapter ${id}`);
  });

  it('says nothing of the machine, the prompts or the services', async () => {
    await push(writeRun(), { base });
    const texts = ['README.md', 'adapter_config.json'].map(uploaded).join('\n');
    for (const secret of ['/home/alice', 'a secret prompt', '10.0.0.1', home.folder, writeToken])
      expect(texts).not.toContain(secret);
    expect(JSON.parse(uploaded('adapter_config.json')!)).toMatchObject({ base_model_name_or_path: base });
    expect(home.lines.join('\n')).not.toContain(writeToken);
  });

  it('names no base where the adapter names a folder, and says so', async () => {
    const { files } = await push(writeRun());
    expect(home.lines).toContain(
      'the card names no base model, since the adapter names none of the hub: --base user/name',
    );
    expect(uploaded('README.md')).not.toContain('base_model');
    expect(files).not.toContain('pytorch_lora_weights.safetensors');
  });

  it('comes back by eam fetch as the adapter that it was', async () => {
    const checkpoint = writeRun();
    await push(checkpoint, { base });
    const { directory } = await home.fetch(id);
    const { rank, alpha, targets } = await readAdapterConfig(checkpoint);
    expect(await readAdapterConfig(directory)).toMatchObject({ rank, alpha, targets, base });
  });

  it('writes over its own card, and keeps that of somebody else', async () => {
    const checkpoint = writeRun();
    await push(checkpoint, { base, public: true });
    expect(home.hub.repositories.get(id)!.private).toBe(false);
    home.hub.add(id, { 'README.md': '# Mine' });
    await push(checkpoint, { base });
    expect(uploaded('README.md')).toBe('# Mine');
    expect(home.lines).toContain('README.md is kept as it is: somebody else wrote it');
    expect(uploaded('adapter_config.json')).toBeDefined();
  });

  it('publishes an adapter that is in no run', async () => {
    const { files } = await push(join(tinySd3, 'lora_diffusers'), { base });
    expect(files.sort()).toEqual(['README.md', 'pytorch_lora_weights.safetensors']);
  });
});

describe('pushAdapter refuses', () => {
  const adapter = join(tinySd3, 'lora_peft');

  it.each([
    { what: 'a name that is none', name: 'bold', problem: 'name: expected user/name of the hub, got bold' },
    { what: 'a revision', name: `${id}@v1`, problem: 'name: expected user/name' },
  ])('$what', async ({ name, problem }) => {
    await expect(pushAdapter(adapter, name)).rejects.toThrow(ConfigError);
    expect(await problemOf(pushAdapter(adapter, name))).toContain(problem);
  });

  it('to go without a token, and asks nobody', async () => {
    vi.stubEnv('HF_TOKEN', '');
    expect(await problemOf(push(adapter))).toContain('a push needs a token with the permission to write');
    expect(home.hub.requests).toEqual([]);
  });

  it('a token that may not write', async () => {
    vi.stubEnv('HF_TOKEN', goodToken);
    const error = await push(adapter, { base }).catch((problem: unknown) => problem);
    expect(error).toBeInstanceOf(HubError);
    expect((error as Error).message).toContain('the token in HF_TOKEN does not have the permission');
    expect((error as Error).message).not.toContain(goodToken);
  });

  it('offline', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await problemOf(push(adapter))).toContain('unset it to push to the hub');
  });

  it('to take a commit for done that the hub refused', async () => {
    home.hub.faults.push(status(500, {}, /\/commit\//));
    expect(await problemOf(push(adapter, { base }))).toContain('the hub answered 500');
    expect(uploaded('adapter_config.json')).toBeUndefined();
  });

  it('what the hub stored otherwise than it was sent', async () => {
    home.hub.faults.push((request) => {
      if (!request.path.startsWith('/storage/upload/')) return false;
      // The upload is answered as usual, and what it brought is spoiled behind it.
      home.hub.spoil = true;
      return false;
    });
    expect(await problemOf(push(adapter, { base }))).toMatch(/expected the file that was uploaded, got [0-9a-f]{64}$/);
  });
});
