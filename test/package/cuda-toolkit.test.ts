import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { findCudaToolkit } from '../../lib/jobs/build/cuda-toolkit.js';

describe('the decision whether set-up builds the CUDA variant', () => {
  let folder: string;
  let devices: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'eam-toolkit-'));
    devices = join(folder, 'dev');
    mkdirSync(devices);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const program = (name: string, body: string) => {
    writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  const found = () => findCudaToolkit(`${folder}:/bin`, devices);

  it('is no where there is no GPU, whatever compilers there are', () => {
    program('nvcc', 'exit 0');
    program('nvidia-smi', 'echo "No devices were found"; exit 6');
    writeFileSync(join(devices, 'nvidiactl'), '');
    expect(found()).toEqual({ usable: false });
  });

  it('is yes where nvidia-smi lists a GPU and nvcc is there', () => {
    program('nvcc', 'exit 0');
    program('nvidia-smi', '[ "$1" = -L ] && echo "GPU 0: Fast One (UUID: GPU-1)"');
    expect(found()).toEqual({ usable: true });
  });

  it('takes the device file for a GPU where nvidia-smi is not installed', () => {
    program('nvcc', 'exit 0');
    writeFileSync(join(devices, 'nvidia0'), '');
    expect(found()).toEqual({ usable: true });
  });

  it('says what is missing where there is a GPU and no nvcc', () => {
    writeFileSync(join(devices, 'nvidia0'), '');
    expect(found()).toEqual({ usable: false, because: expect.stringContaining('nvcc') as string });
  });
});
