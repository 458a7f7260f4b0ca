// Python's huggingface_hub as the oracle of the cache's layout: it finds what was fetched here, and what it fetched is
// found here. Without it on this machine (`EAM_HUB_PYTHON` names a Python that has it) these tests are passed over.
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { describe, expect, it } from 'vitest';

import { snapshotOf } from '../../lib/files/hub-cache.js';
import { below, hubHome } from '../helpers/hub-home.js';
import { needed, pipeline } from '../helpers/hub-models.js';

const python = process.env['EAM_HUB_PYTHON'] ?? 'python3';
const hasHub = spawnSync(python, ['-c', 'import huggingface_hub']).status === 0;
const home = hubHome();
const id = 'artists/painter';

/** What a program of Python's prints, in the test's environment. */
async function run(program: string, env: Record<string, string> = {}): Promise<string> {
  const own = { ...process.env, ...env, HF_HUB_DISABLE_XET: '1', HF_HUB_DISABLE_TELEMETRY: '1' };
  const { stdout } = await promisify(execFile)(python, ['-c', program], { env: own });
  return stdout.trim();
}

const snapshot = (options: string) =>
  `from huggingface_hub import snapshot_download; print(snapshot_download("${id}", ${options}))`;
const patterns = `allow_patterns=${JSON.stringify(Object.keys(needed))}`;

describe.skipIf(!hasHub)('the cache that is shared with huggingface_hub', () => {
  it('has for it what was fetched here, offline', async () => {
    home.hub.add(id, pipeline);
    const { directory } = await home.fetch(id);
    home.hub.requests.length = 0;
    expect(await run(snapshot(patterns), { HF_HUB_OFFLINE: '1' })).toBe(directory);
    expect(home.hub.requests).toEqual([]);
  });

  it('makes it fetch nothing again of what was fetched here', async () => {
    home.hub.add(id, pipeline);
    const { directory } = await home.fetch(id);
    home.hub.requests.length = 0;
    expect(await run(snapshot(patterns))).toBe(directory);
    expect(home.hub.requests.filter(({ path, method }) => method === 'GET' && /resolve|storage/.test(path))).toEqual(
      [],
    );
  });

  it('has for us what it fetched', async () => {
    home.hub.add(id, pipeline);
    const directory = await run(snapshot(patterns));
    expect(snapshotOf({ id, revision: 'main' })).toBe(directory);
    home.hub.requests.length = 0;
    const fetched = await home.fetch(id);
    expect(fetched).toMatchObject({ directory, fetched: 0 });
    expect(home.hub.requests.filter(({ path }) => /resolve|storage/.test(path))).toEqual([]);
    expect(below(directory)).toEqual(Object.keys(needed).sort());
  });

  it('is whole to its scan', async () => {
    home.hub.add(id, pipeline);
    await home.fetch(id);
    const found = await run(
      'from huggingface_hub import scan_cache_dir; c = scan_cache_dir(); r = list(c.repos)[0]; ' +
        'print(len(c.warnings), r.repo_id, r.nb_files, sorted(r.refs))',
    );
    const different = new Set(Object.values(needed).map(String));
    expect(found).toBe(`0 ${id} ${different.size} ['main']`);
  });

  it('lies where it looks', async () => {
    for (const env of [{}, { HF_HUB_CACHE: join(home.folder, 'there') }] as Record<string, string>[]) {
      const place = await run('from huggingface_hub import constants; print(constants.HF_HUB_CACHE)', env);
      expect(place).toBe(env['HF_HUB_CACHE'] ?? join(home.folder, 'cache/hub'));
    }
  });
});
