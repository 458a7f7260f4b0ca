// Fuzzes the reading of safetensors files under AddressSanitizer and UndefinedBehaviorSanitizer: the native reader with
// entries that no parser has checked, then the whole path from the header's text to a network's weights. The sanitized
// core is built into build/sanitized; LibTorch itself is not sanitized, but the memory that it is given is watched.
//
//     npm run fuzz -- [--seconds 60] [--seed N] [--build FOLDER] [--keep FOLDER]
//
// Each of the two runs for the seconds that were asked for. Ends with 1 at the first finding.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now()) },
    build: { type: 'string', default: join(root, 'build', 'sanitized') },
    keep: { type: 'string', default: join(root, 'build', 'fuzz') },
  },
});
if (!(Number(flags.seconds) > 0) || !/^\d+$/.test(flags.seed)) {
  console.error('fuzz: --seconds takes a number above 0, --seed a whole number');
  process.exit(2);
}

const { inspect } = await import(new URL('../dist/runtime/native/loader.js', import.meta.url));
const { loaded, error } = inspect();
if (!loaded) {
  console.error(error);
  process.exit(1);
}
const libtorch = loaded.libtorch.directory;

function build() {
  console.log(`fuzz: building the sanitized core in ${flags.build}`);
  const cmake = (...args) => execFileSync('cmake', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const options = [`-DEAM_LIBTORCH=${libtorch}`, '-DEAM_SANITIZE=address,undefined', '-DEAM_BUILD_CHECKS=ON'];
  cmake('-S', root, '-B', flags.build, ...options);
  cmake(
    '--build',
    flags.build,
    '--parallel',
    String(availableParallelism()),
    '--target',
    'eam_torch',
    'eam_loader',
    'fuzz_tensor_file',
  );
}

function run(command, args, env) {
  // Node keeps some memory until the end, and LibTorch too: leaks are not what is looked for.
  const sanitizers = {
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
  const { status, signal } = spawnSync(command, args, {
    cwd: flags.keep,
    stdio: 'inherit',
    env: { ...process.env, ...sanitizers, ...env },
  });
  if (status === 0) return;
  console.error(
    `fuzz: ended with ${signal ?? `exit code ${status}`}; seed ${flags.seed}, its last file is in ${flags.keep}`,
  );
  process.exit(1);
}

build();
mkdirSync(flags.keep, { recursive: true });
run(join(flags.build, 'fuzz_tensor_file'), [flags.seconds, flags.seed], { LD_LIBRARY_PATH: join(libtorch, 'lib') });
// Node is not sanitized: the runtime has to be there before it.
const preload = execFileSync('cc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
run(
  process.execPath,
  [
    join(root, 'test', 'fuzz', 'safetensors.mjs'),
    '--seconds',
    flags.seconds,
    '--seed',
    flags.seed,
    '--keep',
    flags.keep,
  ],
  {
    LD_PRELOAD: preload,
    EAM_TORCH_BUILD_DIR: flags.build,
    EAM_TORCH_LIBTORCH: libtorch,
  },
);
