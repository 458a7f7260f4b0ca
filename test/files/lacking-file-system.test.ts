// File systems that lack what others have, played by a library that is loaded before all others.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { beforeAll, describe, expect, it } from 'vitest';

import { shippedDirectory } from '../../lib/runtime/package.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const hasCompiler = process.platform === 'linux' && spawnSync('cc', ['--version']).status === 0;

/** Below $PLAY_FOLDER, `mmap`, and `fsync` of folders or of files, fail with $PLAY_ERRNO where $PLAY names them. */
const source = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
static int plays(const char *what, int fd) {
  char link[64], path[4096];
  const char *play = getenv("PLAY"), *folder = getenv("PLAY_FOLDER");
  if (!play || !folder || strcmp(play, what) || fd < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (strncmp(path, folder, strlen(folder))) return 0;
  errno = atoi(getenv("PLAY_ERRNO"));
  return 1;
}
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
  return plays("mmap", fd) ? MAP_FAILED : real(at, size, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  return mmap(at, size, protection, flags, fd, offset);
}
int fsync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
  struct stat status;
  const int folder = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
  return plays(folder ? "folder" : "file", fd) ? -1 : real(fd);
}
int fdatasync(int fd) { return fsync(fd); }
`;

const { ENODEV, EINVAL, EACCES, EOPNOTSUPP, ENOSYS, EIO } = constants.errno;

describe.runIf(hasCompiler)('eam finetune', () => {
  let library: string;
  beforeAll(() => {
    const folder = temporaryFolder();
    library = join(folder, 'play.so');
    writeFileSync(join(folder, 'play.c'), source);
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, join(folder, 'play.c'), '-ldl']);
  });

  function run(play: string, errno: number) {
    const folder = temporaryFolder();
    const output = join(folder, 'run');
    mkdirSync(folder, { recursive: true });
    cpSync(shippedDirectory('digits'), join(folder, 'digits'), { recursive: true });
    const config = join(folder, 'config.json');
    writeFileSync(
      config,
      JSON.stringify({
        model: join(folder, 'digits'),
        prompts: ['0'],
        rewards: [{ name: 'stroke-weight' }],
        algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 1 },
        optimizer: { learningRate: 1e-3 },
        steps: 1,
        batch: 1,
        samples: { count: 1, steps: 1 },
        output,
      }),
    );
    const { status, stderr } = spawnSync(process.execPath, [program, 'finetune', config, '--quiet'], {
      env: { ...process.env, LD_PRELOAD: library, PLAY: play, PLAY_FOLDER: folder, PLAY_ERRNO: String(errno) },
      encoding: 'utf8',
    });
    const checkpoints = join(output, 'checkpoints');
    return { code: status, stderr, checkpoints: existsSync(checkpoints) ? readdirSync(checkpoints) : [] };
  }

  it.each([
    { lacks: 'maps of files', play: 'mmap', errno: ENODEV },
    { lacks: 'private maps of files', play: 'mmap', errno: EINVAL },
    { lacks: 'the right to map files', play: 'mmap', errno: EACCES },
    { lacks: 'syncing of folders (EINVAL)', play: 'folder', errno: EINVAL },
    { lacks: 'syncing of folders (EOPNOTSUPP)', play: 'folder', errno: EOPNOTSUPP },
    { lacks: 'syncing of folders (ENOSYS)', play: 'folder', errno: ENOSYS },
    { lacks: 'syncing of files', play: 'file', errno: EINVAL },
  ])('completes on a file system that lacks $lacks', ({ play, errno }) => {
    expect(run(play, errno)).toEqual({ code: 0, stderr: '', checkpoints: ['step-1'] });
  });

  it.each(['folder', 'file'])('ends with an error where the disk fails when a %s is synced', (play) => {
    const { code, stderr } = run(play, EIO);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/could not be written: .*(EIO|Input\/output error)/)]);
  });
});
