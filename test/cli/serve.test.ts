// `eam serve` as a process: its address, its end, and what it refuses.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { serve } from '../../lib/jobs/serve/serve.js';
import { eam } from '../helpers/command-line.js';
import { program } from '../helpers/finetune-config.js';
import { ask } from '../helpers/raw-http.js';
import { writeRun } from '../helpers/run-folder.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

afterEach(() => vi.unstubAllEnvs());

describe('eam serve', () => {
  it('prints its address, serves the runs of a folder, and ends well with Ctrl-C, however many read', async () => {
    const folder = temporaryFolder();
    writeRun(join(folder, 'a'));
    const child = spawn(process.execPath, [program, 'serve', folder, '--port', '0', '--quiet']);
    const ended = new Promise((resolve) => child.on('close', resolve));
    const url = await new Promise<string>((resolve) => {
      let printed = '';
      child.stdout.on('data', (text) => {
        printed += String(text);
        if (printed.endsWith('/\n')) resolve(printed.trim());
      });
    });
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[\w-]{22}\/$/);
    expect((await ask(url, new URL(url).pathname)).body).toContain('<strong>a</strong>');
    const reader = await fetch(`${url}events`);
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    expect(await reader.text()).toContain('event: end\n');
  });

  it('says of its own when it is stopped, not of a training', async () => {
    const child = spawn(process.execPath, [program, 'serve', temporaryFolder(), '--port', '0']);
    let stderr = '';
    child.stderr.on('data', (text) => {
      stderr += String(text);
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.stdout.once('data', () => child.kill('SIGINT'));
    expect(await ended).toBe(0);
    expect(stderr).toContain('SIGINT: stopping; a second Ctrl-C ends it at once\n');
    expect(stderr).not.toContain('resumed');
  });

  it('refuses a folder that is none, and ports that are none', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    const missing = join(folder, 'none');
    expect(await eam('serve', missing)).toEqual({
      code: 2,
      stdout: '',
      stderr: `error: ${missing}: expected a folder of runs, got none\n`,
    });
    expect((await eam('serve', join(folder, 'file'))).stderr).toContain('expected a folder of runs, got ENOTDIR');
    for (const port of ['x', '70000', '-1', '8.5'])
      expect((await eam('serve', folder, '--port', port)).stderr).toContain('Expected a port from 0 to 65535.');
  });

  it('refuses options of a program that are none, and a signal that is aborted already', async () => {
    const folder = temporaryFolder();
    await expect(serve(folder, { prot: 1 } as never)).rejects.toThrow(
      'serve options: prot: unknown key; did you mean "port"?',
    );
    await expect(serve('', {})).rejects.toThrow(/^serve: folder: expected/);
    const reason = new Error('enough');
    await expect(serve(folder, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('tells who can see a page that other machines reach', async () => {
    const stop = new AbortController();
    const notes: string[] = [];
    const onNote = (line: string) => void notes.push(line);
    const served = serve(temporaryFolder(), { host: '0.0.0.0', port: 0, signal: stop.signal, onNote });
    await vi.waitFor(() => expect(notes).toHaveLength(2), { timeout: 600_000 });
    stop.abort();
    await served;
    expect(notes).toEqual([
      expect.stringMatching(/^live page: http:\/\/\S+\/$/),
      'whoever has this address can see the page and use its buttons; what is sent is not encrypted',
    ]);
  });

  it('ends where it is told to before anybody waits for it', async () => {
    const stop = new AbortController();
    let url = '';
    const onAddress = (address: string) => {
      url = address;
      stop.abort();
    };
    await serve(temporaryFolder(), { port: 0, signal: stop.signal, onAddress });
    await expect(ask(url, '/')).rejects.toThrow();
    const failing = () => {
      throw new Error('nobody is told');
    };
    await expect(serve(temporaryFolder(), { port: 0, onAddress: failing })).rejects.toThrow('nobody is told');
  });
});
