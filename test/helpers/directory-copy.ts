// Copies of a model's directory with something changed.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

type Json = Record<string, unknown>;

/** A copy whose files are links to the original's: a change to one replaces the link. */
export class DirectoryCopy {
  readonly path = join(mkdtempSync(join(tmpdir(), 'eam-copy-')), 'model');

  constructor(source: string) {
    link(source, this.path);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  remove(name: string): this {
    rmSync(this.file(name), { recursive: true });
    return this;
  }

  write(name: string, content: string | Uint8Array): this {
    rmSync(this.file(name), { force: true });
    writeFileSync(this.file(name), content);
    return this;
  }

  /** Sets keys of a JSON file; `undefined` removes one. */
  set(name: string, changes: Json): this {
    return this.write(
      name,
      JSON.stringify({ ...(JSON.parse(readFileSync(this.file(name), 'utf8')) as Json), ...changes }),
    );
  }
}

function link(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) link(source, target);
    else symlinkSync(source, target);
  }
}
