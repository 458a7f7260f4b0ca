// What writes configurations and command lines: eam init, help and completion.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createProgram } from '../../lib/cli/program.js';
import { init } from '../../lib/jobs/init/init.js';
import { readConfigFile } from '../../lib/jobs/settings/config-file.js';
import { readFinetuneConfig } from '../../lib/jobs/settings/finetune.js';
import { eam } from '../helpers/command-line.js';
import { model, program } from '../helpers/finetune-config.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

describe('eam init', () => {
  const flags = [
    '--model',
    model,
    '--reward',
    'stroke-weight,weight=2',
    '--prompt',
    '1',
    '--prompt',
    '2',
    '--steps',
    '3',
  ];

  it.each(['config.json', 'config.jsonc', 'config.ts', 'config.mts'])('writes %s from flags', async (name) => {
    const path = join(temporaryFolder(), 'new', name);
    const { code, stderr } = await eam('init', path, ...flags);
    expect([code, stderr]).toEqual([0, `${path}: to start it: eam finetune ${path}\n`]);
    const config = (await readConfigFile(path)) as Record<string, unknown>;
    expect(config).toMatchObject({
      model,
      prompts: ['1', '2'],
      rewards: [{ name: 'stroke-weight', weight: 2 }],
      steps: 3,
    });
    expect((await readFinetuneConfig(config, path)).algorithm.name).toBe('eam');
    if (name.includes('json')) expect(existsSync(resolve(dirname(path), config['$schema'] as string))).toBe(true);
  });

  it('asks for what no flag says, with an answer to each that an empty line takes', async () => {
    const path = join(temporaryFolder(), 'config.json');
    const asked: string[] = [];
    const answers = ['', 'stroke-weight', ' 1; 2 ;3', ''];
    await init(
      path,
      {},
      async (question, otherwise = '') => {
        asked.push(question);
        return answers.shift()!.trim() || otherwise;
      },
      false,
    );
    expect(asked).toHaveLength(4);
    expect(asked[1]).toMatch(/Which reward\?.*digit-classifier, stroke-weight/);
    expect(asked[1]).not.toContain('made-in-code');
    expect(await readConfigFile(path)).toMatchObject({ model: 'digits', prompts: ['1', '2', '3'], steps: 100 });
  });

  it("writes no folder for a reward that eam fetch puts into the user's own", async () => {
    const path = join(temporaryFolder(), 'config.json');
    const { code } = await eam(
      'init',
      path,
      '--model',
      model,
      '--reward',
      'pickscore',
      '--prompt',
      '1',
      '--steps',
      '1',
    );
    expect(code).toBe(0);
    expect((await readConfigFile(path)) as object).toMatchObject({ rewards: [{ name: 'pickscore', weight: 1 }] });
    expect(readFileSync(path, 'utf8')).not.toContain('directory');
  });

  it('keeps a file of prompts by its name', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'prompts.txt'), '1\n2\n');
    const path = join(folder, 'config.json');
    const { code } = await eam(
      'init',
      path,
      ...flags.slice(0, 4),
      '--prompts',
      join(folder, 'prompts.txt'),
      '--steps',
      '1',
    );
    expect(code).toBe(0);
    expect(await readConfigFile(path)).toMatchObject({ prompts: join(folder, 'prompts.txt') });
  });

  it.each([
    { args: ['--steps', '3'], said: 'init: expected --model, got none' },
    { args: flags.slice(0, 2), said: 'init: expected --reward, got none' },
    { args: flags.slice(0, 4), said: 'init: expected --prompt or --prompts, got none' },
    { args: flags.slice(0, 8), said: 'init: expected --steps, got none' },
    { args: [...flags, '--reward', 'strok-weight'], said: 'name: expected one of ' },
    { args: [...flags, '--model', 'no-such-model'], said: 'no model at ' },
    { args: [...flags, '--steps', '0'], said: 'Expected a whole number from 1.' },
  ])('without a terminal refuses $args, and writes nothing', ({ args, said }) => {
    const folder = temporaryFolder();
    const { status, stderr } = spawnSync(process.execPath, [program, 'init', ...args], {
      cwd: folder,
      encoding: 'utf8',
      input: '',
    });
    expect([status === 0, stderr]).toEqual([false, expect.stringContaining(said)]);
    expect(existsSync(join(folder, 'config.json'))).toBe(false);
  });

  it.each([
    {
      args: ['--model', 'someone/some-model', '--reward', 'stroke-weight'],
      first: 'eam fetch someone/some-model; then eam finetune ',
    },
    {
      args: ['--model', 'someone/some-model@v2', '--reward', 'pickscore', '--reward', 'clipscore=someone/tower'],
      first:
        'eam fetch someone/some-model --revision v2; then eam fetch pickscore; then eam fetch someone/tower; then ' +
        'eam finetune ',
    },
  ])('takes what is not fetched yet, and says what to fetch: $args', async ({ args, first }) => {
    const path = join(temporaryFolder(), 'config.json');
    const home = temporaryFolder();
    const { status, stderr } = spawnSync(
      process.execPath,
      [program, 'init', path, ...args, '--prompt', 'a cat', '--steps', '1'],
      { encoding: 'utf8', input: '', env: { ...process.env, HF_HOME: home, XDG_CACHE_HOME: home } },
    );
    expect([status, stderr]).toEqual([0, `${path}: to start it: ${first}${path}\n`]);
    expect(await readConfigFile(path)).toMatchObject({ model: args[1] });
  });

  it.each([
    { model: 'stabilityai/stable-diffusion-3.5-medium', like: 'sd3.5-medium', shipped: 'sd35-medium.json' },
    { model: 'black-forest-labs/FLUX.2-klein-base-4B', like: 'flux2-klein-4b', shipped: 'flux2-klein-4b.json' },
  ])(
    'takes the settings of the shipped configuration for $model, which fit a GPU',
    async ({ model, like, shipped }) => {
      const path = join(temporaryFolder(), 'config.json');
      const { code } = await eam('init', path, '--model', model, '--reward', 'pickscore', ...flags.slice(4));
      expect(code).toBe(0);
      const from = JSON.parse(readFileSync(new URL(`../../configs/${shipped}`, import.meta.url), 'utf8'));
      const { dtype, image, adapter, algorithm, optimizer, batch } = from;
      expect(await readConfigFile(path)).toMatchObject({ model, dtype, image, adapter, algorithm, optimizer, batch });
      const { stdout } = await eam('plan', path, '--like', like);
      expect(stdout).toMatch(/^ {2}H100 SXM +[\d.]+ +[\d.]+ +(measured rates|estimate)$/m);
    },
  );

  it('replaces a file only where told, and writes no other kind of file', async () => {
    const path = join(temporaryFolder(), 'config.json');
    writeFileSync(path, 'mine');
    const { code, stderr } = await eam('init', path, ...flags);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`${path} is there already: --force replaces it`)]);
    expect(readFileSync(path, 'utf8')).toBe('mine');
    expect((await eam('init', path, ...flags, '--force')).code).toBe(0);
    expect((await eam('init', 'config.yaml', ...flags)).stderr).toContain('expected a name that ends in .json');
  });
});

const commands = createProgram(new AbortController().signal).commands;

describe('the help of every command', () => {
  it.each(commands.map((command) => ({ name: command.name(), command })))(
    'says in sentences what each option of $name is, with its default',
    ({ command }) => {
      const help = command.createHelp();
      expect(command.description()).toMatch(/^[A-Z].*\.$/s);
      for (const option of help.visibleOptions(command as never)) {
        // It is read as it is shown, with the words of the program's own help.
        const shown = command.configureHelp().optionDescription?.(option) ?? '';
        expect(shown, option.flags).toMatch(/^[A-Z].*[.]$/s);
        expect(shown, option.flags).not.toMatch(/\(default|\(choices|May be/);
        const takesValue = option.required || option.optional;
        if (takesValue) expect(shown, option.flags).toMatch(/By default \w+|It is required\./);
        // The default is told once, in words, and as no list or object of JavaScript.
        expect(shown, option.flags).not.toMatch(/By default \w+ \w+ ["[{]|undefined|\[object/);
        expect(shown.split(/By default|It is required/).length, option.flags).toBeLessThanOrEqual(2);
        const { defaultValue } = option;
        if (typeof defaultValue === 'string' || typeof defaultValue === 'number')
          expect(shown, option.flags).toContain(`By default it is ${defaultValue}.`);
        if (option.argChoices) expect(shown).toContain(`It is ${option.argChoices[0]}`);
      }
    },
  );

  it.each([
    {
      command: 'sample',
      says: ["model's directory, or its name on the hub, user/name", 'ComfyUI, or its name on the hub'],
    },
    { command: 'merge', says: ['ComfyUI, or its name on the hub, user/name'] },
    { command: 'evaluate', says: ['The directory may be a name on the hub, user/name'] },
    { command: 'init', says: ['The directory may be a name on the hub, user/name'] },
    { command: 'check-reward', says: ['whose directory may be a name on the hub'] },
    { command: 'finetune', says: ['A configuration in JSON, TypeScript or JavaScript'] },
    { command: 'distill', says: ['A model (a directory, a name on the hub, user/name', 'TypeScript or JavaScript'] },
  ])('names what works in $command: the ids of the hub, and configurations in code', async ({ command, says }) => {
    const { stdout } = await eam(command, '--help');
    for (const each of says) expect(stdout.replace(/\s+/g, ' ')).toContain(each);
  });

  it('shows no default or choice in brackets', async () => {
    for (const { name } of commands.map((command) => ({ name: command.name() }))) {
      const { stdout } = await eam(name, '--help');
      expect(stdout.replace(/\s+/g, ' '), name).not.toMatch(/\((default|choices):/);
    }
    const { stdout } = await eam('sample', '--help');
    expect(stdout.replace(/\s+/g, ' ')).toContain(
      'Compute the network in this type. It is float32, bfloat16 or float16. By default it is float32.',
    );
  });
});

describe('eam completion', () => {
  const script = (shell: string) =>
    execFileSync(process.execPath, [program, 'completion', shell], { encoding: 'utf8' });
  const bash = (...words: string[]) => {
    const list = words.map((word) => `'${word}'`).join(' ');
    const run = `COMP_WORDS=(eam ${list}); COMP_CWORD=${words.length}; _eam; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', `${script('bash')}\n${run}`], { encoding: 'utf8' })
      .trim()
      .split('\n');
  };

  it('completes commands, options and choices in bash, and leaves the rest to files', () => {
    expect(bash('fin')).toEqual(['finetune']);
    const names = commands.map((command) => command.name());
    expect(bash('')).toEqual([...names, 'help']);
    expect(bash('help', '')).toEqual(names);
    expect(bash('help', 'ver')).toEqual(['verify']);
    expect(bash('completion', '')).toEqual(['bash', 'zsh', 'fish']);
    expect(bash('completion', 'bash', '')).toEqual(['']);
    expect(bash('finetune', '--re')).toEqual(['--resume']);
    expect(bash('sample', '--solver', '')).toEqual(['euler', 'heun', 'midpoint', 'dpmpp2m']);
    expect(bash('sample', '--solver', 'h')).toEqual(['heun']);
    expect(bash('finetune', 'conf')).toEqual(['']);
    expect(bash('finetune', '--set', 'x')).toEqual(['']);
    expect(bash('no-such-command', '--')).toEqual(['']);
  });

  it.each(['bash', 'zsh', 'fish'])(
    'ends no description in a semicolon, and offers the words of help, in %s',
    (shell) => {
      const text = script(shell);
      expect(text).not.toMatch(/;'$|;\[/m);
      if (shell === 'fish') expect(text).toMatch(/-a verify -d 'Compare what the native networks .* in a directory'$/m);
      if (shell === 'fish') expect(text).toMatch(/__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'$/m);
      if (shell === 'zsh') expect(text).toContain("'1:word:(bash zsh fish)'");
    },
  );

  it('runs nothing that is typed', () => {
    const folder = temporaryFolder();
    bash('finetune', `$(touch ${folder}/ran)`, '--');
    bash(`$(touch ${folder}/ran)`);
    expect(existsSync(join(folder, 'ran'))).toBe(false);
  });

  const has = (shell: string) => spawnSync(shell, ['--version']).status === 0;
  it.skipIf(!has('fish'))('completes in fish', () => {
    const complete = (line: string) =>
      execFileSync('fish', ['--no-config', '-c', `${script('fish')}\ncomplete -C '${line}'`], { encoding: 'utf8' });
    expect(complete('eam fin')).toMatch(/^finetune\tFine-tune a model’s adapter/);
    expect(complete('eam finetune --res')).toMatch(/^--resume\t/);
    expect(complete('eam sample --solver h')).toMatch(/^heun/);
  });

  it.skipIf(!has('zsh'))('is a script that zsh can load', () => {
    const file = join(temporaryFolder(), '_eam');
    writeFileSync(file, script('zsh'));
    const load = `autoload -Uz compinit && compinit -D && source ${file} && print $_comps[eam]`;
    const said = execFileSync('zsh', ['-f', '-c', load], { encoding: 'utf8' });
    expect(said.trim()).toBe('_eam');
  });

  it.each([
    { args: [], said: "missing required argument 'shell'" },
    { args: ['tcsh'], said: 'Allowed choices are bash, zsh, fish.' },
  ])('is refused with $args', async ({ args, said }) => {
    const { code, stderr } = await eam('completion', ...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(said)]);
  });
});
