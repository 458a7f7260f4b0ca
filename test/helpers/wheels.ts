// Tiny wheels, and an index of them that can cut a transfer.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export interface TinyWheel {
  name: string;
  version: string;
  /** Paths and texts, or paths and files whose content they are given. */
  files?: Record<string, string | { from: string }>;
  /** Lines of Requires-Dist. */
  requires?: string[];
}

const makeWheels = `
import json, sys, zipfile
folder, wheels = sys.argv[1], json.load(sys.stdin)
for wheel in wheels:
    name, version = wheel['name'].replace('-', '_'), wheel['version']
    info = f'{name}-{version}.dist-info'
    read = lambda text: open(text['from'], 'rb').read() if isinstance(text, dict) else text
    files = {path: read(text) for path, text in wheel.get('files', {}).items()}
    needs = ''.join(f'Requires-Dist: {each}\\n' for each in wheel.get('requires', []))
    head = f"Metadata-Version: 2.1\\nName: {wheel['name']}\\nVersion: {version}\\n"
    files[f'{info}/METADATA'] = f"{head}Provides-Extra: one\\nProvides-Extra: two\\n{needs}"
    files[f'{info}/WHEEL'] = 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'
    files[f'{info}/RECORD'] = ''.join(f'{path},,\\n' for path in [*files, f'{info}/RECORD'])
    with zipfile.ZipFile(f'{folder}/{name}-{version}-py3-none-any.whl', 'w') as archive:
        for path, text in files.items():
            archive.writestr(path, text)
`;

/** Writes wheels for every Python into `folder`. */
export function writeWheels(python: string, folder: string, wheels: readonly TinyWheel[]): void {
  mkdirSync(folder, { recursive: true });
  execFileSync(python, ['-c', makeWheels, folder], { input: JSON.stringify(wheels) });
}

/** A package index over HTTP, of the wheels in a folder. */
export class WheelIndex {
  /** The files that were asked for, in order. */
  readonly asked: string[] = [];
  /** The server sends half of each of these wheels, and then closes the connection. */
  readonly cut = new Set<string>();
  readonly #server: Server;

  constructor(folder: string) {
    this.#server = createServer((request, response) => {
      const path = new URL(request.url!, 'http://index').pathname.split('/').filter(Boolean);
      const wheels = readdirSync(folder);
      if (path[0] === 'simple') {
        const found = wheels.filter((wheel) => wheel.split('-')[0]!.replaceAll('_', '-') === path[1]);
        response.statusCode = found.length > 0 ? 200 : 404;
        response.setHeader('content-type', 'text/html');
        response.end(
          found.map((wheel) => `<a href="/files/${wheel}#sha256=${sha256(join(folder, wheel))}">${wheel}</a>`).join(),
        );
        return;
      }
      const wheel = decodeURIComponent(path[1]!);
      this.asked.push(wheel);
      const content = readFileSync(join(folder, wheel));
      response.setHeader('content-length', content.length);
      if (!this.cut.has(wheel)) return void response.end(content);
      response.write(content.subarray(0, content.length / 2), () => response.destroy());
    });
  }

  /** @returns the address for pip */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/simple`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
