// The CUDA variant runs, with all of a CUDA LibTorch's libraries and on a machine without a GPU: its CPU kernels give
// the CPU variant's numbers, it says that there is no device, and processes and workers end as they should.

import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { linkOrCopy } from '../../lib/files/link-or-copy.js';
import { inspect } from '../../lib/runtime/native/loader.js';
import { compiled, runNode } from '../helpers/child.js';
import { type CudaVariant, cudaVariant, whyNotCuda } from '../helpers/cuda-variant.js';

const minutes = 60_000;
let folder: string;
let found: CudaVariant | { reason: string };
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'eam-cuda-load-'));
  const unwanted = whyNotCuda();
  found = unwanted === undefined ? await cudaVariant() : { reason: unwanted };
}, 30 * minutes);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * All libraries of the wheels in one lib/, as an archive of LibTorch has them. They are files of this folder, not links
 * into the wheels', so that a process tells by their paths which it has loaded.
 */
async function archiveLayout(libtorch: string): Promise<string> {
  const directory = join(folder, 'libtorch');
  const lib = join(directory, 'lib');
  mkdirSync(lib, { recursive: true });
  const nvidia = join(dirname(libtorch), 'nvidia');
  const folders = [join(libtorch, 'lib'), ...readdirSync(nvidia).map((name) => join(nvidia, name, 'lib'))];
  for (const each of folders)
    for (const name of readdirSync(each).filter((file) => /\.so\b/.test(file)))
      await linkOrCopy(join(each, name), join(lib, name));
  await linkOrCopy(join(libtorch, 'version.py'), join(directory, 'version.py'));
  return directory;
}

const imports = `
  const { philoxNormal, matchingLoss, renoise } = await import(${compiled('runtime/kernels.js')});
  const { Tensor } = await import(${compiled('runtime/native/tensor.js')});
  const { binding } = await import(${compiled('runtime/native/index.js')});
`;

/** Numbers of kernels and of a network on the CPU, to be compared between variants. */
const numbers = `
  const x1 = await philoxNormal([3, 50], { seed: 1n, stream: 1n });
  const noise = { seed: 2n, stream: 1n };
  const x = await renoise({ x1, t: [0.1, 0.5, 0.9], noise });
  const t = Float32Array.of(0.1, 0.5, 0.9);
  const { loss, grad } = await matchingLoss({ velocity: x, x1, terminalGradient: x, t, C: 1, noise });
  const classifier = binding().newNetwork('digit-classifier', {
    config: { imageSize: 28, channels: 1, widths: [16, 32], features: 64, classes: 10 },
    seed: 1n,
    device: 'cpu',
  });
  const images = await philoxNormal([2, 1, 28, 28], { seed: 3n, stream: 1n });
  const { values, grad: pixels } = await classifier.logProbability(images, Int32Array.of(1, 2), true);
  const sum = async (tensor) => (await tensor.data()).reduce((a, b) => a + Math.abs(b), 0);
  console.log(JSON.stringify({ loss, grad: Array.from(await grad.data()), network: [...values, await sum(pixels)] }));
`;
interface Numbers {
  loss: number;
  grad: number[];
  network: number[];
}

describe.each(['wheels', 'archive'] as const)('the CUDA variant with a LibTorch of %s', (layout) => {
  let env: NodeJS.ProcessEnv | undefined;
  /** The folder that all libraries are to come from. */
  let own: string;
  beforeAll(async () => {
    if ('reason' in found) return;
    const libtorch = layout === 'wheels' ? found.libtorch : await archiveLayout(found.libtorch);
    own = realpathSync(layout === 'wheels' ? dirname(libtorch) : libtorch);
    env = {
      ...process.env,
      XDG_CACHE_HOME: join(folder, layout),
      EAM_TORCH_BUILD_DIR: found.directory,
      EAM_TORCH_LIBTORCH: libtorch,
    };
  });
  /** In a process of its own, of this variant. */
  const run = (script: string) => runNode(imports + script, { env: env!, timeout: 5 * minutes });
  const onCuda = (name: string, work: () => Promise<void>) =>
    it(name, { timeout: 10 * minutes }, async (context) => {
      if ('reason' in found) return context.skip(found.reason);
      await work();
    });

  onCuda('loads, from its own folder alone', async () => {
    const ended = await run(`
      const b = binding();
      await philoxNormal([4], { seed: 1n, stream: 1n });
      const { readFileSync } = await import('node:fs');
      const lines = readFileSync('/proc/self/maps', 'utf8').split('\\n');
      const mapped = [...new Set(lines.map((line) => line.slice(line.indexOf('/'))))];
      const libraries = mapped.filter((path) => /lib(c10|torch|cu|nv|nccl)/.test(path));
      console.log(JSON.stringify({ variant: b.variant, version: b.libtorchVersion, libraries }));`);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    const { variant, version, libraries } = JSON.parse(ended.stdout) as Record<string, unknown> & {
      libraries: string[];
    };
    expect({ variant, version }).toEqual({ variant: 'cuda', version: expect.stringMatching(/^2\.\d+\.\d+$/) });
    for (const name of ['libtorch_cuda', 'libtorch_nvshmem', 'libcudnn', 'libcublas', 'libnccl'])
      expect(
        libraries.some((path) => path.includes(name)),
        name,
      ).toBe(true);
    expect(libraries.filter((path) => !path.startsWith(`${own}/`) && !path.includes('libcuda.so'))).toEqual([]);
  });

  onCuda('computes on the CPU what the CPU variant computes', async () => {
    const { loaded } = inspect();
    const cpu = {
      ...process.env,
      EAM_TORCH_BUILD_DIR: loaded!.addon.directory,
      EAM_TORCH_LIBTORCH: loaded!.libtorch.directory,
    };
    const [here, there] = (await Promise.all([run(numbers), runNode(imports + numbers, { env: cpu })])).map(
      ({ stdout, stderr, code }) => {
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        return JSON.parse(stdout) as Numbers;
      },
    );
    // The kernels are this package's; the network's products another LibTorch's.
    expect({ loss: here!.loss, grad: here!.grad }).toEqual({ loss: there!.loss, grad: there!.grad });
    for (const [index, value] of here!.network.entries()) expect(value).toBeCloseTo(there!.network[index]!, 3);
  });

  onCuda('says in one line that there is no device, and auto means the CPU', async () => {
    const ended = await run(`
      const { chooseDevice } = await import(${compiled('runtime/device.js')});
      if (binding().cudaDeviceCount() > 0) process.exit(11); // a machine with a GPU has nothing to refuse
      const attempts = {
        tensor: () => Tensor.from([1], [1], { device: 'cuda' }),
        moved: () => Tensor.from([1], [1]).to({ device: 'cuda:0' }),
        drawn: () => philoxNormal([4], { seed: 1n, stream: 1n, device: 'cuda' }),
        memory: () => binding().cudaMemory('cuda'),
      };
      for (const [name, attempt] of Object.entries(attempts)) {
        try { await attempt(); console.log(name, 'worked'); } catch (error) { console.log(error.name, error.message); }
      }
      console.log(chooseDevice('auto').device);`);
    if (ended.code === 11) return;
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    const lines = ended.stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(5);
    expect(lines.at(-1)).toBe('cpu');
    for (const line of lines.slice(0, -1)) expect(line).toMatch(/^ConfigError .*no CUDA device is usable/i);
    expect(lines[3]).toMatch(/^ConfigError device: expected "cpu", since no CUDA device is usable .*, got "cuda"$/);
  });

  onCuda('runs in a worker, which ends before the process and with it', async () => {
    const body = `${imports} await philoxNormal([1000], { seed: 1n, stream: 1n });`;
    const ended = await run(`
      const { Worker } = await import('node:worker_threads');
      const { once } = await import('node:events');
      const url = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(body)}));
      const first = new Worker(url);
      console.log((await once(first, 'exit'))[0]);
      const second = new Worker(url);
      await once(second, 'online');
      console.log((await philoxNormal([4], { seed: 1n, stream: 1n })).shape[0]);
      await second.terminate();`);
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: '0\n4\n', stderr: '' });
  });

  onCuda('ends with its own exit code while work is in flight', async () => {
    const flood = `for (let i = 0n; i < 100n; ++i) philoxNormal([4_000_000], { seed: 1n, stream: i }).catch(() => {});`;
    expect(await run(`${flood} setTimeout(() => process.exit(7), 50);`)).toMatchObject({
      code: 7,
      signal: null,
      stderr: '',
    });
  });
});
