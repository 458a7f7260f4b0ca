// Somebody types: eam init's questions and zsh's completion, each in a real terminal.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readConfigFile } from '../../lib/jobs/settings/config-file.js';
import { readFinetuneConfig } from '../../lib/jobs/settings/finetune.js';
import { program } from '../helpers/finetune-config.js';
import { temporaryFolder } from '../helpers/tiny-run.js';
import { hasTerminals, type } from '../helpers/typing.js';

describe.runIf(hasTerminals)("eam init's questions (want python3 and its pty)", () => {
  const init = (cwd: string, answers: readonly string[], ...args: string[]) => {
    const questions = ['name on the hub [digits]: ', 'Which reward?', 'Which prompts?', 'training steps? [100]: '];
    const typed = answers.map((answer, index) => [questions[index]!, answer] as const);
    return type([process.execPath, program, 'init', ...args], typed, { cwd });
  };

  it('are four, in a terminal, and write a configuration that a run takes', async () => {
    const folder = temporaryFolder();
    const { code, shown } = init(folder, ['\r', 'stroke-weight,weight=2\r', '1; 2;3\r', '7\r']);
    expect([code, shown.match(/\?/g)]).toEqual([0, ['?', '?', '?', '?']]);
    expect(shown).toContain('config.json: to start it: eam finetune config.json\r\n');
    const path = join(folder, 'config.json');
    const config = await readConfigFile(path);
    expect(config).toMatchObject({
      model: 'digits',
      rewards: [{ name: 'stroke-weight', weight: 2 }],
      prompts: ['1', '2', '3'],
      steps: 7,
    });
    expect((await readFinetuneConfig(config, path)).steps).toBe(7);
  });

  it('are only those that no flag has answered', () => {
    const folder = temporaryFolder();
    const flags = ['--reward', 'stroke-weight', '--prompt', '1', '--steps', '2'];
    const { code, shown } = init(folder, ['\r'], ...flags);
    expect([code, shown.match(/\?/g)]).toEqual([0, ['?']]);
  });

  it.each([
    { typed: 'a line with nothing in it', answers: ['\r', '\r'], code: 2, said: 'init: expected --reward, got none' },
    { typed: 'a reward that is none', answers: ['\r', 'strok\r', '1\r', '1\r'], code: 2, said: 'expected one of' },
    { typed: 'steps that are none', answers: ['\r', 'stroke-weight\r', '1\r', 'many\r'], code: 2, said: 'steps: ' },
    { typed: 'Ctrl-C', answers: ['\r', '\u0003'], code: 130, said: '' },
    { typed: 'Ctrl-D', answers: ['\r', '\u0004'], code: 2, said: 'init: expected --reward, got none' },
  ])('write nothing where somebody types $typed', ({ answers, code, said }) => {
    const folder = temporaryFolder();
    const ended = init(folder, answers);
    expect([ended.code, ended.shown]).toEqual([code, expect.stringContaining(said)]);
    expect(existsSync(join(folder, 'config.json'))).toBe(false);
  });
});

const hasZsh = spawnSync('zsh', ['--version']).status === 0;

describe.runIf(hasTerminals && hasZsh)('completion in zsh (wants zsh, python3 and its pty)', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'config.json'), '{}');
  writeFileSync(join(folder, '_eam'), execFileSync(process.execPath, [program, 'completion', 'zsh']));
  // Ctrl-X says what stands on the line, and clears it.
  const zshrc = `
PS1='ready> '
setopt no_beep
fpath=(${folder} $fpath)
autoload -Uz compinit && compinit -D
say() { zle -I; print -r -- "line<$BUFFER>"; BUFFER=''; }
zle -N say
bindkey '^X' say
`;
  writeFileSync(join(folder, '.zshrc'), zshrc);
  const zsh = (typed: readonly (readonly [string, string])[]) =>
    type(['zsh', '-d', '-i'], typed, { cwd: folder, env: { ZDOTDIR: folder } });

  it('completes commands, options, their choices and files', () => {
    const lines = [
      { typed: 'eam finet', completed: 'eam finetune ' },
      { typed: 'eam finetune --res', completed: 'eam finetune --resume ' },
      { typed: 'eam sample --solver h', completed: 'eam sample --solver heun ' },
      { typed: 'eam help verif', completed: 'eam help verify ' },
      { typed: 'eam completion fi', completed: 'eam completion fish ' },
      { typed: 'eam finetune conf', completed: 'eam finetune config.json ' },
      { typed: 'eam finetune config.json --overw', completed: 'eam finetune config.json --overwrite ' },
      { typed: 'eam no-such-command --', completed: 'eam no-such-command --' },
    ];
    const { shown } = zsh([
      ...lines.map(({ typed }, index) => [index ? 'line<' : 'ready> ', `${typed}\t\u0018`] as const),
      ['line<', 'exit\r'],
    ]);
    expect([...shown.matchAll(/line<(.*?)>/g)].map(([, line]) => line)).toEqual(
      lines.map(({ completed }) => completed),
    );
  });

  it('shows what there is to choose from, with what it does', () => {
    const { shown } = zsh([
      ['ready> ', 'eam \t'],
      ['Fine-tune a model’s adapter', '\u0015eam sample --solver \t'],
      ['midpoint', '\u0015exit\r'],
    ]);
    expect(shown).toMatch(/finetune +-- Fine-tune a model’s adapter/);
    for (const solver of ['euler', 'heun', 'midpoint', 'dpmpp2m']) expect(shown).toContain(solver);
  });
});
