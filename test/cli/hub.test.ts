// eam fetch and eam push on the command line: what is printed where, and the exit codes.
import { spawn } from 'node:child_process';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { findLibTorch } from '../../lib/runtime/native/libtorch.js';
import { writeToken } from '../helpers/hub.js';
import { eam } from '../helpers/command-line.js';
import { program } from '../helpers/finetune-config.js';
import { below, hubHome } from '../helpers/hub-home.js';
import { needed, pipeline } from '../helpers/hub-models.js';
import { tinySd3 } from '../helpers/sd3.js';

// Where LibTorch is in a cache, the test's own home hides it.
const libtorch = findLibTorch('cpu')!.directory;
const home = hubHome();
const id = 'artists/painter';

describe('eam fetch', () => {
  it('prints the folder to the output, and all else beside it', async () => {
    home.hub.add(id, pipeline);
    const { code, stdout, stderr } = await eam('fetch', id);
    expect(code).toBe(0);
    expect(below(stdout.trim())).toEqual(Object.keys(needed).sort());
    expect(stderr).toContain('10 files of 0.21 MB, 0.21 MB of it to fetch');
  });

  it('prints only the folder with --quiet', async () => {
    home.hub.add(id, pipeline);
    const to = join(home.folder, 'here');
    const { stdout, stderr } = await eam('fetch', id, '--to', to, '--file', 'README.md', '--quiet');
    expect([stdout, stderr]).toEqual([`${to}\n`, '']);
    expect(below(to)).toEqual(['README.md']);
  });

  it('fails for a gated model with what to click, and without the token', async () => {
    home.hub.add(id, pipeline, { gated: true });
    vi.stubEnv('HF_TOKEN', 'hf_good0123456789');
    const { code, stdout, stderr } = await eam('fetch', id);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('click "Agree and access repository"');
    expect(stderr).not.toContain('hf_good');
  });

  describe('of gigabytes', () => {
    const { isTTY } = process.stdin;
    beforeEach(() => {
      process.stdin.isTTY = false;
      home.hub.add(id, pipeline);
      home.hub.faults.push((request, response) => {
        if (!request.path.includes('/tree/')) return false;
        response.end(JSON.stringify([{ type: 'file', path: 'README.md', size: 2e9, oid: 'a'.repeat(40) }]));
        return true;
      });
    });
    afterEach(() => {
      process.stdin.isTTY = isTTY;
    });

    it('is bad usage without --yes where nobody can be asked', async () => {
      const { code, stderr } = await eam('fetch', id, '--file', 'README.md');
      expect(code).toBe(2);
      expect(stderr).toContain('2.0 GB are to be fetched: say --yes where nobody can be asked');
    });
  });

  it('says on Ctrl-C that what came is kept', async () => {
    home.hub.add(id, pipeline);
    const child = spawn(process.execPath, [program, 'fetch', id]);
    let stderr = '';
    child.stderr.on('data', (text) => {
      stderr += String(text);
    });
    // It is never answered.
    home.hub.faults.push(({ path }) => path.startsWith('/storage') && child.kill('SIGINT'));
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(130);
    expect(stderr).toContain(
      'SIGINT: stopping; what came is kept, and the same command goes on from there\ninterrupted by SIGINT\n',
    );
    home.hub.faults.length = 0;
    expect((await eam('fetch', id, '--quiet')).code).toBe(0);
  });

  it('says which reward was meant', async () => {
    const { code, stderr } = await eam('fetch', 'hpsv');
    expect(code).toBe(2);
    expect(stderr).toContain('did you mean hpsv2?');
  });
});

describe('eam push', () => {
  beforeEach(() => void vi.stubEnv('EAM_TORCH_LIBTORCH', libtorch));

  it('prints the address of the page', async () => {
    vi.stubEnv('HF_TOKEN', writeToken);
    const { code, stdout, stderr } = await eam('push', join(tinySd3, 'lora_peft'), 'artists/bold');
    expect([code, stdout]).toEqual([0, `${home.hub.url}/artists/bold\n`]);
    expect(stderr).toContain('artists/bold/README.md: uploaded');
    expect(stderr).not.toContain(writeToken);
  });

  it('fails without a token', async () => {
    const { code, stderr } = await eam('push', join(tinySd3, 'lora_peft'), 'artists/bold');
    expect(code).toBe(1);
    expect(stderr).toContain('set HF_TOKEN to it');
  });
});
