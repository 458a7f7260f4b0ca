// Files of configurations: JSON with comments, and TypeScript.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';

import { readConfigFile } from '../../lib/jobs/settings/config-file.js';
import { applyOverrides } from '../../lib/schema/json.js';
import { program } from '../helpers/finetune-config.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});
const written = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe('a configuration in JSON', () => {
  it('may hold comments and commas after last entries, in UTF-16, too', async () => {
    const text = `// at the top
{
  /* a block
     of two lines */
  "model": "digits", // at the end of a line
  "prompts": ["// no comment", "/* nor this */", "a, ]", "\\"",],
  "url": "http://h/", /**/ "steps": /* here, too */ 3,
}
// at the end`;
    const read = {
      model: 'digits',
      prompts: ['// no comment', '/* nor this */', 'a, ]', '"'],
      url: 'http://h/',
      steps: 3,
    };
    expect(await readConfigFile(written('config.json', text))).toEqual(read);
    expect(await readConfigFile(written('config.jsonc', text.replaceAll('\n', '\r\n')))).toEqual(read);
    writeFileSync(join(folder, 'wide.json'), Buffer.from(`\ufeff${text}`, 'utf16le'));
    expect(await readConfigFile(join(folder, 'wide.json'))).toEqual(read);
  });

  it.each([
    { text: '{ "a": 1 "b": 2 }', said: /not valid JSON: / },
    { text: '{ "a": 1,, }', said: /not valid JSON: / },
    { text: '[,]', said: /not valid JSON: / },
    { text: '{ , }', said: /not valid JSON: / },
    { text: '{ "a": 1 /* without an end', said: /not valid JSON: / },
    { text: '{ "a": "without an end }', said: /not valid JSON: / },
    { text: "{ 'a': 1 }", said: /not valid JSON: / },
    { text: '# no comment\n{}', said: /not valid JSON: / },
    { text: '', said: /not valid JSON: / },
    { text: '// nothing else', said: /not valid JSON: / },
  ])('is refused where it is none: $text', async ({ text, said }) => {
    const path = written('config.json', text);
    await expect(readConfigFile(path)).rejects.toThrow(said);
    await expect(readConfigFile(path)).rejects.toThrow(path);
  });

  it('keeps the place of a mistake behind comments', async () => {
    const text = '{\n  // a comment, which is longer than what is wrong\n  "a": nothing\n}';
    await expect(readConfigFile(written('a.json', text))).rejects.toThrow(/\(line 3, column 8\)$/);
  });

  it('says nothing of a key that is in it, where it is broken', async () => {
    const text = '{ "headers": { "authorization": "Bearer secret-of-mine" }, }}';
    const message = await readConfigFile(written('config.json', text)).catch(String);
    expect(message).toContain('not valid JSON');
    expect(message).not.toContain('secret-of-mine');
  });

  it('takes "__proto__" for a key like any other', async () => {
    const read = (await readConfigFile(written('config.json', '{ "__proto__": { "steps": 3 }, }'))) as object;
    expect(Object.keys(read)).toEqual(['__proto__']);
    expect('steps' in read).toBe(false);
  });
});

describe('a configuration in TypeScript', () => {
  it.each([
    { name: 'object.ts', text: 'const steps: number = 3;\nexport default { steps };' },
    { name: 'function.ts', text: 'export default () => ({ steps: 3 });' },
    { name: 'promise.mts', text: 'export default async () => ({ steps: await Promise.resolve(3) });' },
    { name: 'waits.ts', text: 'const steps = await Promise.resolve(3);\nexport default { steps };' },
    { name: 'enum.ts', text: 'enum Steps { few = 3 }\nexport default { steps: Steps.few };' },
    {
      name: 'imports.ts',
      text: "import { readFileSync } from 'node:fs';\nexport default { steps: readFileSync && 3 };",
    },
    { name: 'plain.mjs', text: 'export default { steps: 3 };' },
    { name: 'old.cjs', text: 'module.exports = { steps: 3 };' },
  ])('is the default export of $name', async ({ name, text }) => {
    expect(await readConfigFile(written(name, text))).toEqual({ steps: 3 });
  });

  it('imports files beside it without their extensions', async () => {
    written('other.ts', 'export const steps: number = 3;');
    const path = written('config.ts', "import { steps } from './other';\nexport default { steps };");
    expect(await readConfigFile(path)).toEqual({ steps: 3 });
  });

  it.each([
    { text: 'export const config = {};', said: 'the default export: expected a configuration, got nothing' },
    { text: 'export default 3;', said: 'the default export: expected a configuration, got number' },
    {
      text: 'export default () => {};',
      said: 'the default export: expected a function that returns a configuration, got nothing',
    },
    { text: "throw new Error('mine');\nexport default {};", said: 'could not be run: mine' },
    { text: "export default () => { throw new Error('mine'); };", said: 'its function failed: mine' },
    { text: 'export default { steps: ', said: 'could not be run: ' },
    { text: "import './missing.js';\nexport default {};", said: "Cannot find module './missing.js'" },
  ])('is refused by what is wrong: $text', async ({ text, said }) => {
    const path = written('config.ts', text);
    await expect(readConfigFile(path)).rejects.toThrow(said);
    await expect(readConfigFile(path)).rejects.toThrow(path);
  });

  it('is refused where there is no such file', async () => {
    await expect(readConfigFile(join(folder, 'none.ts'))).rejects.toThrow(/none\.ts could not be run/);
    await expect(readConfigFile(join(folder, 'none.json'))).rejects.toThrow(/cannot read .*none\.json/);
  });

  it('is changed by --set without a copy of what a program made', () => {
    class Own {
      readonly score = 1;
    }
    const own = new Own();
    const reward = { name: 'mine', score: () => {} };
    const config = { rewards: [own, reward, { name: 'x', weight: 1 }], steps: 1 };
    const changed = applyOverrides(config, ['steps=2', 'rewards.2.weight=3']) as typeof config;
    expect(changed).toEqual({ rewards: [own, reward, { name: 'x', weight: 3 }], steps: 2 });
    expect([changed.rewards[0], changed.rewards[1]]).toEqual([own, reward]);
    expect(changed.rewards[1]).toBe(reward);
    expect(config.steps).toBe(1);
  });

  it('runs from the command line with rewards and an algorithm of the package that runs it', () => {
    const config = `
      import { defineConfig, eam, fromFunction, type ImageArray, strokeWeight } from 'eam-torch';
      const dark = fromFunction('dark', ({ data, shape: [batch] }: ImageArray) => ({
        values: Array.from({ length: batch! }, (_, i) => -data[i * (data.length / batch!)]!),
        grad: new Float32Array(data.length),
      }));
      export default defineConfig({
        model: 'digits',
        prompts: ['1'],
        rewards: [[dark, 0.5], strokeWeight({ scale: 2 })],
        algorithm: eam({ steps: 1, renoisings: 1, lambda: 3 }),
        optimizer: { learningRate: 1e-3 },
        steps: 5,
        batch: 1,
        samples: { count: 1, steps: 1 },
      });`;
    written('config.ts', config);
    const eam = (...args: string[]) =>
      spawnSync(process.execPath, [program, ...args], { cwd: folder, encoding: 'utf8' });
    const { status, stderr } = eam('finetune', 'config.ts', '--set', 'steps=1', '--output', 'run');
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    const record = JSON.parse(readFileSync(join(folder, 'run', 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(record).toMatchObject({
      steps: 1,
      algorithm: { name: 'eam', steps: 1, renoisings: 1, lambda: 3 },
      rewards: [
        { name: 'made-in-code', label: 'dark', weight: 0.5 },
        { name: 'made-in-code', label: 'stroke-weight', weight: 1 },
      ],
    });
    // The folder alone cannot go on: it does not hold the rewards. The configuration can.
    const alone = eam('finetune', 'run', '--resume', '--set', 'steps=2');
    expect([alone.status, alone.stderr]).toEqual([
      2,
      expect.stringContaining('rewards[0].reward: expected the reward that a program made, got none, since no file'),
    ]);
    const resumed = eam('finetune', 'config.ts', '--resume', '--output', 'run', '--set', 'steps=2');
    expect([resumed.status, resumed.stderr]).toEqual([0, expect.stringContaining('resuming run at step 1')]);
  });
});
