// The one command for a GPU, where there is none: it refuses, and with programs that stand in for the compiled ones it runs all
// that there is, writes the CSV and judges.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeEach, describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../benchmarks/gpu.mjs', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'eam-gpu-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let folder: string;
let count = 0;
beforeEach(() => {
  folder = join(root, String(++count));
  mkdirSync(join(folder, 'bin'), { recursive: true });
  mkdirSync(join(folder, 'programs'));
});

function script(place: 'bin' | 'programs', name: string, body: string): void {
  const path = join(folder, place, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
}

const header = 'section,name,variant,dtype,elements,threads,repeats,unit,p20,p50,p80';
const row = (name: string, variant: string, unit: string, value: number) =>
  `cuda,${name},${variant},float32,134217728,1,30,${unit},${value},${value},${value}`;
const bandwidth = (share: number, status: number) => `cat <<'EOF'
${[header, row('renoise', 'ours', 'GB/s', 4000 * share), row('renoise', 'copy', 'GB/s', 4000), row('renoise', 'of the copy', 'share', share), row('philoxNormal', 'of the copy; not judged', 'share', 0.3)].join('\n')}
EOF
exit ${status}`;

/** A machine with a GPU on which everything passes. */
function goodMachine(): void {
  script('bin', 'nvidia-smi', 'case "$1" in -L) echo "GPU 0: Fast One";; *) echo "Fast One";; esac');
  for (const name of ['check_ops', 'check_cuda_sizes', 'check_cuda_graph'])
    script('programs', name, `echo "${name} ran $PYTORCH_NO_CUDA_MEMORY_CACHING"`);
  script('programs', 'bench_cuda', bandwidth(0.91, 0));
}

function run(env: Record<string, string> = {}, ...args: string[]) {
  const path = [join(folder, 'bin'), '/usr/bin', '/bin'].join(delimiter); // sh, cat and git, but no nvcc and no real nvidia-smi before ours
  const clean = { ...process.env, PATH: path, CUDA_HOME: '', CUDA_PATH: '' };
  delete (clean as Record<string, string | undefined>)['CUDA_VISIBLE_DEVICES'];
  return spawnSync(
    process.execPath,
    [program, '--programs', join(folder, 'programs'), '--output', join(folder, 'results'), ...args],
    { encoding: 'utf8', env: { ...clean, ...env } },
  );
}

describe('npm run gpu', () => {
  it('refuses a machine without a GPU, and says so', () => {
    const bare = run({ PATH: join(folder, 'bin') });
    expect(bare.status).toBe(1);
    expect(bare.stderr).toMatch(
      /^gpu: there is no NVIDIA GPU here: nvidia-smi.*is not on PATH\. Nothing was checked or measured/,
    );
    script('bin', 'nvidia-smi', 'echo "No devices were found"; exit 6');
    expect(run()).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('nvidia-smi finds none') as string,
    });
    goodMachine();
    expect(run({ CUDA_VISIBLE_DEVICES: '' })).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining("CUDA_VISIBLE_DEVICES is ''") as string,
    });
  });

  it('runs everything, writes the CSV and passes', () => {
    goodMachine();
    script('bin', 'compute-sanitizer', 'echo "$@"; for program; do :; done; exec "$program"');
    const { status, stdout, stderr } = run();
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    for (const tool of ['memcheck', 'racecheck']) {
      for (const name of ['check_ops', 'check_cuda_graph']) {
        expect(stdout).toContain(
          `--tool ${tool} --error-exitcode 9 --report-api-errors no ${join(folder, 'programs', name)}\n${name} ran 1\n`,
        );
        expect(stdout).toMatch(new RegExp(`${name} under ${tool} +ok`));
      }
    }
    expect(stdout).toMatch(/Fast One, revision \S+, LibTorch unknown/);
    expect(stdout).toMatch(/bandwidth +ok: the least of 1 kernels moves 91\.0 % of a copy's bandwidth/);
    expect(stdout).toMatch(/Medium's shape +left out: there is no addon/);
    expect(stdout.trimEnd()).toMatch(/verdict: passed; 1 left out$/);
    const [file] = readdirSync(join(folder, 'results'));
    expect(file).toMatch(/^\d{4}-\d\d-\d\d-.*-fast-one-cuda\.csv$/);
    const lines = readFileSync(join(folder, 'results', file!), 'utf8')
      .trim()
      .split('\n');
    expect(lines[0]).toBe(`date,machine,revision,libtorch,node,${header}`);
    expect(lines).toHaveLength(5);
    expect(lines[1]).toMatch(
      /Fast One,[0-9a-f]+\+?,unknown,v\d.*,cuda,renoise,ours,float32,134217728,1,30,GB\/s,3640,3640,3640$/,
    );
  });

  it('says what it left out where there is no compute-sanitizer', () => {
    goodMachine();
    const { status, stdout } = run();
    expect(status).toBe(0);
    expect(stdout).toMatch(/check_ops under memcheck +left out: compute-sanitizer is neither on PATH/);
    expect(stdout.trimEnd()).toMatch(/verdict: passed; 5 left out$/);
  });

  it.each<[string, () => void, RegExp]>([
    [
      'a mismatch',
      () => script('programs', 'check_ops', 'echo "1 mismatches"; exit 1'),
      /FAILED \(parity with the CPU\)/,
    ],
    ['a mismatch at a large size', () => script('programs', 'check_cuda_sizes', 'exit 1'), /FAILED \(large tensors\)/],
    [
      'a program that found no device',
      () => script('programs', 'check_cuda_graph', 'echo "CUDA graph: skipped, no device here"'),
      /FAILED \(CUDA graphs\)/,
    ],
    [
      'what a sanitizer finds',
      () => script('bin', 'compute-sanitizer', 'case "$*" in *memcheck*check_ops) exit 9;; esac'),
      /FAILED \(check_ops under memcheck\)/,
    ],
    ['a kernel below the bar', () => script('programs', 'bench_cuda', bandwidth(0.7, 1)), /FAILED \(bandwidth\)/],
    ['a benchmark that ends early', () => script('programs', 'bench_cuda', 'exit 1'), /FAILED \(bandwidth\)/],
    ['a benchmark that was not compiled', () => rmSync(join(folder, 'programs', 'bench_cuda')), /FAILED \(bandwidth\)/],
  ])('fails for %s', (_, spoil, verdict) => {
    goodMachine();
    spoil();
    const { status, stdout } = run();
    expect(status).toBe(1);
    expect(stdout).toMatch(verdict);
  });

  it('refuses to leave out what it does not know', () => {
    expect(run({}, '--without', 'parity')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('--without parity: expected sanitizer, sd3 or both') as string,
    });
  });
});
