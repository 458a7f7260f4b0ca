// Files that hold no TorchScript, damaged ones and hostile ones.
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { torchScript } from '../../lib/rewards/torchscript.js';
import { saveTensors } from '../../lib/files/safetensors.js';
import { emptyConstants, emptyModule, moduleSource, zip } from '../helpers/torchscript.js';
import { failure, fixture, folder, images, quadratic } from '../helpers/torchscript-reward.js';

describe('a file that is no TorchScript', () => {
  const file = (name: string, content: string | Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  // Python's pickle.loads runs `touch MARKER` when it reads this.
  const marker = join(folder, 'executed');
  const evil = `cposix\nsystem\n(X${String.fromCharCode(marker.length + 6)}\0\0\0touch ${marker}tR`;
  const evilPickle = Buffer.from(`\x80\x02${evil}.`, 'latin1');

  it.each<{ what: string; make: () => string | Promise<string>; message: RegExp }>([
    { what: 'is missing', make: () => join(folder, 'absent.pt'), message: /absent\.pt: there is no such file$/ },
    {
      what: 'is a folder',
      make: () => {
        mkdirSync(join(folder, 'folder.pt'));
        return join(folder, 'folder.pt');
      },
      message: /EISDIR/,
    },
    { what: 'is empty', make: () => file('empty.pt', ''), message: /, got an empty file/ },
    {
      what: 'is text',
      make: () => file('text.pt', 'def forward(self, images): ...\n'.repeat(50)),
      message: /expected a module saved by torch\.jit\.script.*, got no archive/,
    },
    {
      what: 'is a pickle',
      make: () => file('pickle.pt', evilPickle),
      message: /, got a Python pickle, which is never opened/,
    },
    {
      what: 'holds weights',
      make: () => fixture('weights.pt'),
      message: /archive of torch\.save, which holds weights or Python objects; save the program with/,
    },
    {
      what: 'is safetensors',
      make: async () => {
        const path = join(folder, 'w.safetensors');
        await saveTensors(path, { w: images() });
        return path;
      },
      message: /a safetensors file/,
    },
    {
      what: 'is for mobile devices',
      make: () => file('mobile.ptl', `${'\x10\0\0\0'}PTMF${'\0'.repeat(64)}`),
      message: /a module for mobile devices/,
    },
    {
      what: 'is huge and no archive',
      make: () => {
        const path = file('huge.pt', 'x');
        truncateSync(path, 2 ** 34);
        return path;
      },
      message: /, got no archive/,
    },
    {
      what: 'is huge and begins as an archive',
      make: () => {
        const path = file('huge-zip.pt', 'PK\x03\x04');
        truncateSync(path, 2 ** 34);
        return path;
      },
      message: /cannot be loaded/,
    },
    {
      what: 'is a zip of something else',
      make: () => file('other.zip', zip({ 'a.txt': 'hello' })),
      message: /cannot be loaded/,
    },
    {
      what: 'has no code',
      make: () =>
        file('no-code.pt', zip({ 'm/data.pkl': emptyModule, 'm/constants.pkl': emptyConstants, 'm/version': '3\n' })),
      message: /cannot be loaded/,
    },
    {
      what: 'is of a version to come',
      make: () =>
        file(
          'future.pt',
          zip({
            'm/data.pkl': emptyModule,
            'm/code/__torch__.py': moduleSource(quadratic(1)),
            'm/constants.pkl': emptyConstants,
            'm/version': '99\n',
          }),
        ),
      message: /version/,
    },
  ])('is refused where it $what', async ({ make, message }) => {
    const error = await failure(torchScript(await make()));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(/^torchScript: \//);
    expect(error.message).toMatch(message);
  });

  it('is refused wherever it is cut short', async () => {
    const whole = readFileSync(fixture('conv.pt'));
    for (let length = 20; length < whole.length; length += 377) {
      await expect(torchScript(file('cut.pt', whole.subarray(0, length)))).rejects.toThrow(ConfigError);
    }
  });

  it('runs nothing that a pickle asks for', async () => {
    const code = moduleSource(quadratic(1));
    const records = { 'm/code/__torch__.py': code, 'm/constants.pkl': emptyConstants, 'm/version': '3\n' };
    const inside = [
      zip({ 'm/data.pkl': evilPickle, 'm/version': '3\n' }), // as torch.save writes it
      zip({ ...records, 'm/data.pkl': evilPickle }),
      zip({ ...records, 'm/data.pkl': emptyModule, 'm/constants.pkl': evilPickle }),
      zip({
        ...records,
        'm/data.pkl': Buffer.from(emptyModule.toString('latin1').replace('\x88u', `${evil}u`), 'latin1'),
      }),
    ];
    await expect(torchScript(file('evil.pt', evilPickle))).rejects.toThrow(ConfigError);
    for (const archive of inside) await expect(torchScript(file('evil.pt', archive))).rejects.toThrow(ConfigError);
    expect(existsSync(marker)).toBe(false);
  });
});
