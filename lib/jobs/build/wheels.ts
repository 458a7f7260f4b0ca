// Wheels, fetched and unpacked with pip, each whole or absent: what was fetched before a cut is there for the next try.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { BuildError, runCommand } from './run-command.js';
import { makeDirectory } from '../../runtime/make-directory.js';

/** What a wheel says of itself. */
export interface WheelFacts {
  /** What it needs on this system, pip's own notation without a marker. */
  requires: { name: string; extras: string[]; specifier: string }[];
  /** The text of the file that was asked for; undefined where there is none. */
  text?: string | undefined;
}

const factsSchema = z.object({
  requires: z.array(z.object({ name: z.string(), extras: z.array(z.string()), specifier: z.string() })),
  text: z.string().nullable(),
});

// pip's own parser: it reads what pip would, markers included.
const factsScript = `
import email.parser, json, sys, zipfile
from pip._vendor.packaging.requirements import Requirement
path, wanted, *extras = sys.argv[1:]
with zipfile.ZipFile(path) as wheel:
    names = wheel.namelist()
    metadata = next(name for name in names if name.endswith('.dist-info/METADATA') and name.count('/') == 1)
    message = email.parser.Parser().parsestr(wheel.read(metadata).decode('utf-8'))
    text = wheel.read(wanted).decode('utf-8') if wanted in names else None
requires = []
for line in message.get_all('Requires-Dist') or []:
    each = Requirement(line)
    if each.marker is None or any(each.marker.evaluate({'extra': extra}) for extra in extras or ['']):
        name = each.name.lower().replace('_', '-')
        requires.append({'name': name, 'extras': sorted(each.extras), 'specifier': str(each.specifier)})
print(json.dumps({'requires': requires, 'text': text}))
`;

/** Asked for on a full disk, pip says one of these. */
const isFull = /No space left on device|Errno 28|Disk quota exceeded/;

/** A folder of wheels, and the pip that fetches and unpacks them. */
export class Wheels {
  constructor(
    private readonly folder: string,
    private readonly python: string,
  ) {}

  /** The wheel that was fetched by this name; undefined where it is not there yet. */
  find(name: string): string | undefined {
    const place = join(this.folder, name);
    const isFolder = statSync(place, { throwIfNoEntry: false })?.isDirectory() ?? false;
    const file = isFolder ? readdirSync(place).find((each) => each.endsWith('.whl')) : undefined;
    return file === undefined ? undefined : join(place, file);
  }

  /** In bytes, of the wheels that are there. */
  size(): number {
    if (!existsSync(this.folder)) return 0;
    const wheels = readdirSync(this.folder).map((name) => this.find(name));
    return wheels.reduce((sum, path) => sum + (path === undefined ? 0 : statSync(path).size), 0);
  }

  /**
   * The wheel of `name`, fetched where it is not there yet; pip checks it against its index's hash.
   * @param attempts what pip is asked for, best first
   * @throws BuildError where none is found or the transfer is cut
   */
  async fetch(name: string, attempts: readonly (readonly string[])[]): Promise<string> {
    const before = this.find(name);
    if (before !== undefined) return before;
    const aside = join(this.folder, '.fetching');
    for (const [index, attempt] of attempts.entries()) {
      rmSync(aside, { recursive: true, force: true });
      try {
        await this.#pip([
          'download',
          '--no-deps',
          '--no-cache-dir',
          '--progress-bar=off',
          `--dest=${aside}`,
          ...attempt,
        ]);
        renameSync(aside, join(this.folder, name));
        return this.find(name)!;
      } catch (error) {
        if (!(error instanceof BuildError) || index + 1 === attempts.length) throw this.#explained(error);
      }
    }
    throw new BuildError(`${name}: nothing to ask pip for`);
  }

  /**
   * @param file a path in the wheel, whose text is wanted, too
   * @throws BuildError for what is no wheel, which is then removed, to be fetched again
   */
  read(path: string, { file = '', extras = [] as readonly string[] } = {}): WheelFacts {
    const { status, stdout, stderr } = spawnSync(this.python, ['-c', factsScript, path, file, ...extras], {
      encoding: 'utf8',
    });
    if (status !== 0) {
      rmSync(join(path, '..'), { recursive: true, force: true });
      throw new BuildError(`${path} cannot be read: ${stderr.trim().split('\n').at(-1)}`);
    }
    const { requires, text } = factsSchema.parse(JSON.parse(stdout));
    return { requires, text: text ?? undefined };
  }

  /**
   * Unpacks every wheel into `site`, a new folder. A wheel that does not unpack is removed, to be fetched again.
   * @throws BuildError
   */
  async unpack(paths: readonly string[], site: string): Promise<void> {
    rmSync(site, { recursive: true, force: true });
    try {
      await this.#pip(['install', '--no-index', '--no-deps', '--no-compile', `--target=${site}`, ...paths]);
    } catch (error) {
      rmSync(site, { recursive: true, force: true });
      const said = String(error);
      const damaged = isFull.test(said) ? [] : paths.filter((path) => said.includes(path));
      for (const path of damaged) rmSync(join(path, '..'), { recursive: true, force: true });
      throw this.#explained(error);
    }
  }

  async #pip(args: readonly string[]): Promise<void> {
    // pip works in TMPDIR and then moves: on one file system that is a rename.
    const temporary = join(this.folder, '.tmp');
    rmSync(temporary, { recursive: true, force: true });
    makeDirectory(temporary);
    try {
      await runCommand(this.python, ['-m', 'pip', ...args, '--disable-pip-version-check', '--retries=2'], {
        logFile: join(this.folder, 'pip.log'),
        // pip from 25.1 on goes on with a transfer that was cut, as long as it runs; an older one does not know the
        // variable, and fetches such a wheel again when the command is given again.
        env: { PIP_RESUME_RETRIES: '20', ...process.env, TMPDIR: temporary },
      });
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  }

  #explained(error: unknown): unknown {
    if (!(error instanceof BuildError) || !isFull.test(error.message)) return error;
    return new BuildError(`The disk of ${this.folder} is full.\n${error.message}`, { cause: error });
  }
}
