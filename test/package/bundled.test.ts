// Code that a bundler has taken out of the package's folder finds neither the addon nor the models: it says so.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { describe, expect, it } from 'vitest';

import { runNode } from '../helpers/child.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const dist = fileURLToPath(new URL('../../dist', import.meta.url));

/** Imports a copy of the module that finds the package from a folder `app/out/code`, as a bundle would lie there. */
async function importFrom(surroundings: Record<string, string>, change = (code: string) => code) {
  const app = join(temporaryFolder(), 'app');
  const code = join(app, 'out', 'code');
  mkdirSync(code, { recursive: true });
  for (const [name, content] of Object.entries({ 'out/package.json': '{"type": "module"}', ...surroundings }))
    writeFileSync(join(app, name), content);
  cpSync(join(dist, 'errors.js'), join(app, 'out', 'errors.js'));
  writeFileSync(join(code, 'package.js'), change(readFileSync(join(dist, 'runtime', 'package.js'), 'utf8')));
  const url = JSON.stringify(pathToFileURL(join(code, 'package.js')).href);
  const { stdout } = await runNode(
    `try { console.log((await import(${url})).packageVersion); }
     catch (error) { console.log(error.code, error.message); }`,
  );
  return stdout;
}

describe('a bundled package', () => {
  it.each([
    { what: 'nothing around it', surroundings: {}, found: /no package\.json in .*app/ },
    {
      what: "the program's own package.json around it",
      surroundings: { 'package.json': '{"name": "my-app", "version": "9.9.9"}' },
      found: /the package\.json of "my-app" in .*app/,
    },
    { what: 'a damaged one', surroundings: { 'package.json': '{' }, found: /no package\.json in .*app/ },
  ])('says with $what that it is to be external', async ({ surroundings, found }) => {
    const output = await importFrom(surroundings);
    expect(output).toMatch(found);
    expect(output).toMatch(
      /^ERR_EAM_NATIVE_LOAD eam-torch is not in its own folder: .*cannot be bundled: keep it external/,
    );
  });

  it('says so where a bundler removed the path of the code', async () => {
    const output = await importFrom({}, (code) => code.replaceAll('import.meta.url', '({}).url'));
    expect(output).toMatch(/got no file that it could be found by\. It cannot be bundled/);
  });

  it('is not reported for a package in another folder', async () => {
    expect(await importFrom({ 'package.json': '{"name": "eam-torch", "version": "1.2.3"}' })).toBe('1.2.3\n');
  });
});
