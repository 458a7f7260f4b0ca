// What `eam reproduce` says before anything is computed: what is missing, and what was given wrong.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { reproduce } from '../../lib/index.js';
import { readRecipe } from '../../lib/jobs/reproduce/recipe.js';
import { settingsTable } from '../../lib/jobs/reproduce/format.js';
import { deviationsOf, settingsOf } from '../../lib/jobs/reproduce/settings.js';
import { spreadOver } from '../../lib/jobs/reproduce/prompt-set.js';
import { recipeNames } from '../../lib/runtime/package.js';
import { binding } from '../../lib/runtime/native/index.js';
import { eam } from '../helpers/command-line.js';
import { hubHome } from '../helpers/hub-home.js';
import { promptFiles, tinyRecipe, tinyRewards, tinySettings } from '../helpers/recipe-run.js';
import { tinySd3 } from '../helpers/sd3.js';

// LibTorch may be in the user's own cache.
beforeAll(() => void binding());
const home = hubHome();
let out: string;
beforeEach(() => {
  out = join(home.folder, 'out');
});

const run = (...args: string[]) => eam(...tinyRecipe(home.folder), '--quiet', ...args);
const without = (args: readonly string[], flag: string) =>
  args.filter((_, at) => args[at] !== flag && args[at - 1] !== flag);

describe('eam reproduce', () => {
  it.each([
    { name: 'hdpv2', hint: '; did you mean hpdv2?' },
    { name: 'drawbenhc', hint: '; did you mean drawbench?' },
    { name: 'imagenet', hint: '' },
  ])('refuses the recipe $name', async ({ name, hint }) => {
    const { code, stderr } = await eam('reproduce', name);
    expect([code, stderr]).toEqual([2, `error: recipe: expected one of drawbench, hpdv2, got ${name}${hint}\n`]);
  });

  it('asks nobody where nobody can be asked, and begins nothing', async () => {
    const { code, stderr } = await run();
    expect([code, stderr]).toEqual([2, 'error: reproduce: expected --yes where nobody can be asked, got none\n']);
    expect(existsSync(out)).toBe(false);
  });

  it('takes no for an answer', async () => {
    const asked: string[] = [];
    const options = {
      model: tinySd3,
      rewards: tinyRewards,
      output: out,
      seeds: 1,
      prompts: join(home.folder, 'test.txt'),
    };
    promptFiles(home.folder);
    const set = tinySettings().filter((each) => each !== '--set');
    const confirm = (question: string) => Promise.resolve(asked.push(question) < 0);
    const all = { ...options, trainPrompts: join(home.folder, 'train.json'), set, confirm };
    await expect(reproduce('hpdv2', all)).rejects.toThrow('it was not wanted, and nothing was begun');
    expect([asked, existsSync(out)]).toEqual([['Begin the training, and evaluate?'], false]);
  });

  it('says in a dry run what is needed, and fetches and writes nothing', async () => {
    const args = without(without(tinyRecipe(home.folder), '--prompts'), '--train-prompts');
    const { code, stdout, stderr } = await eam(...args, '--dry-run');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('prompts of the training: fetched when the recipe runs');
    expect(stdout).toContain('2 trainings, 8 images in all; 1200 images of the evaluation');
    expect([existsSync(out), home.hub.requests]).toEqual([false, []]);
    const { stdout: json } = await eam(...args, '--dry-run', '--json');
    expect(JSON.parse(json)).toMatchObject({ device: 'cpu', images: { training: 8, evaluation: 1200 } });
  });

  it('plans the published model before any file is there, and names the commands that get them', async () => {
    const { code, stdout, stderr } = await eam('reproduce', 'hpdv2', '--dry-run');
    expect(code).toBe(1);
    for (const what of [
      'stabilityai/stable-diffusion-3.5-medium',
      'hpsv2',
      'pickscore',
      'imagereward',
      'clipscore',
      'aesthetic',
    ]) {
      expect(stdout).toContain(`  eam fetch ${what} --yes\n`);
      expect(stderr).toMatch(new RegExp(`${what}: .*; to get it: eam fetch ${what} --yes`));
    }
    expect(stdout).toContain('model stabilityai/stable-diffusion-3.5-medium: missing, about 16.');
    expect(stdout).toContain('3 trainings, 57600 images in all; 1600 images of the evaluation');
    expect(stdout).toMatch(/Memory on cuda: [\d.]+ GiB while .*, [\d.]+ GiB in the evaluation/);
    expect(stdout).toMatch(/H100 SXM +[\d.]+ +[\d.]+ +estimate/);
  });

  it('names the reward that is missing, and where it was looked for', async () => {
    const rewards = join(home.folder, 'rewards');
    cpSync(tinyRewards, rewards, { recursive: true });
    rmSync(join(rewards, 'imagereward'), { recursive: true });
    rmSync(join(rewards, 'pickscore', 'model.safetensors'));
    const { code, stderr } = await run('--rewards', rewards, '--yes');
    expect(code).toBe(1);
    const place = join(rewards, 'imagereward');
    expect(stderr).toContain(
      `reward imagereward: nothing is at ${place}; to get it: eam fetch imagereward --to ${place}`,
    );
    expect(stderr).toMatch(/reward pickscore: .*model\.safetensors/);
    expect(stderr).not.toContain('hpsv2');
    expect(existsSync(out)).toBe(false);
  });

  it.each([
    {
      set: 'model="x"',
      code: 2,
      message: "--set: expected one of the recipe's settings, got model; say it with --model",
    },
    { set: 'rewards.0.weight=2', code: 2, message: 'got rewards; the recipe says towards what is trained' },
    { set: 'stepz=3', code: 2, message: 'stepz: unknown key; did you mean "steps"?' },
    { set: 'evaluation.steps=0', code: 2, message: 'evaluation.steps: expected a number of at least 1, got 0' },
    { set: 'evaluation.stepz=1', code: 2, message: 'evaluation.stepz: unknown key; did you mean "steps"?' },
    { set: 'algorithm.guidedLoss=false', code: 2, message: 'allowGuidedRollout' },
  ])('refuses --set $set', async ({ set, code, message }) => {
    const { code: got, stderr } = await run('--set', set, '--yes');
    expect(stderr).toContain(message);
    expect([got, existsSync(out)]).toEqual([code, false]);
  });

  it.each([
    { what: 'no file', text: undefined, message: /none\.json: expected a list of prompts or a file of them/ },
    { what: 'an empty list', text: '[]', message: /none\.json: expected a prompt a line, got none/ },
    { what: 'a list of numbers', text: '["a cup", 3]', message: /none\.json, item 2: expected \{"prompt": "…"\}/ },
    { what: 'half a list', text: '["a cup"', message: /none\.json: expected a list of prompts in JSON, got no JSON/ },
    {
      what: 'what the authors leave out',
      text: '["山"]',
      message: /none\.json: expected a prompt without .*, got none/,
    },
  ])('refuses $what for prompts', async ({ text, message }) => {
    const path = join(home.folder, 'none.json');
    if (text !== undefined) writeFileSync(path, text);
    const { code, stderr } = await run('--train-prompts', path, '--yes');
    expect(stderr).toMatch(message);
    expect([code, existsSync(out)]).toEqual([2, false]);
  });

  it('leaves a folder alone that holds something else', async () => {
    mkdirSync(join(out, 'seed-43'), { recursive: true });
    writeFileSync(join(out, 'seed-43', 'letter.txt'), 'dear');
    const { code, stderr } = await run('--yes');
    expect(code).toBe(2);
    expect(stderr).toMatch(/seed-43: expected a run of this recipe, or nothing, got something else/);
    expect(existsSync(join(out, 'seed-42'))).toBe(false);
  });
});

describe('the prompt sets of a recipe', () => {
  const annotated = (prompts: readonly string[]) => JSON.stringify(prompts.map((prompt) => ({ prompt, rank: [1, 2] })));
  const args = () => without(without(tinyRecipe(home.folder), '--prompts'), '--train-prompts');

  it('are fetched from the hub, once somebody has agreed, and found in the cache from then on', async () => {
    home.hub.add('datasets/ymhao/HPDv2', {
      'train.json': annotated(['a cup', 'a cup', 'a tree', 'a house', '山', 'a hill', 'a lake']),
      'test.json': annotated(['a fox', 'a boat']),
      'train.tar.gz': 'not wanted',
    });
    expect((await eam(...args(), '--quiet')).code).toBe(2);
    expect(home.hub.requests).toEqual([]);
    const { code, stdout, stderr } = await eam(...args(), '--yes', '--quiet', '--json');
    expect([code, stderr]).toEqual([0, '']);
    const { deviations, table } = JSON.parse(stdout);
    expect([table.count, table.prompts]).toEqual([2, 2]);
    expect(deviations.map(({ what }: { what: string }) => what)).not.toContain('prompts of the training');
    expect(deviations).toContainEqual(
      expect.objectContaining({
        what: 'prompts of the evaluation',
        published: '400 of datasets/ymhao/HPDv2/test.json',
      }),
    );
    expect(home.hub.of('train.tar.gz')).toEqual([]);
    const asked = home.hub.requests.length;
    expect((await eam(...args(), '--quiet')).code).toBe(0);
    expect(home.hub.requests).toHaveLength(asked);
  });

  it('are asked for where the hub cannot be', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    const { code, stderr } = await eam(...args(), '--yes', '--quiet');
    expect(code).toBe(1);
    expect(stderr).toContain(
      'eam fetch datasets/ymhao/HPDv2 --file train.json, or name a file of them: --train-prompts FILE',
    );
  });

  it('are spread over the list, each prompt once', () => {
    expect(spreadOver(['a', 'b', 'a', 'c', 'd', 'e', 'f'], 3)).toEqual(['a', 'c', 'e']);
    expect(spreadOver(['a', 'b', 'a'], 5)).toEqual(['a', 'b']);
  });
});

describe('the recipes', () => {
  it('stand in docs/recipes.md as they are', async () => {
    const cells = (text: string) =>
      text
        .split('\n')
        .filter((line) => line.startsWith('| '))
        .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '').trim()));
    const page = cells(readFileSync(new URL('../../docs/recipes.md', import.meta.url), 'utf8'));
    const { settings } = await readRecipe('hpdv2');
    for (const row of cells(settingsTable({ settings })).slice(2)) expect(page).toContainEqual(row);
  });

  it.each(recipeNames())(
    '%s is comparable with the published rows as it is, and not with other settings',
    async (name) => {
      const recipe = await readRecipe(name);
      const binding = (...changes: string[]) =>
        deviationsOf(recipe, settingsOf(recipe, changes)).flatMap((each) => (each.binding ? [each.what] : []));
      expect(binding()).toEqual([]);
      expect(binding('batch=32', 'image.width=768', 'evaluation.guidance=1')).toEqual([
        'image',
        'batch',
        'evaluation.guidance',
      ]);
      expect(binding('optimizer.emaDecay=0.9', 'algorithm.lambda=1')).toEqual([]);
    },
  );

  it('are completed by shells', async () => {
    expect((await eam('completion', 'bash')).stdout).toContain("reproduce) words='drawbench hpdv2'");
  });

  it.each(recipeNames())('%s says of every setting who gives it', async (name) => {
    const { settings } = await readRecipe(name);
    expect(settings.length).toBeGreaterThan(30);
    const lines = settingsTable({ settings }).split('\n').slice(2);
    for (const line of lines) expect(line).toMatch(/\| +the same \| +\S|\| +ours: \S/);
    expect(new Set(settings.map(({ set }) => set)).size).toBe(settings.length);
  });
});
