// TorchScript files from their source text, without Python: what torch.jit.save writes for a module without weights.
import { writeFileSync } from 'node:fs';
import { crc32, deflateRawSync } from 'node:zlib';

/** Zip archives hold each record as it is, or compressed. */
export function zip(records: Readonly<Record<string, string | Uint8Array>>, compressed = false): Buffer {
  const local: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(records)) {
    const plain = Buffer.from(content as Uint8Array);
    const data = compressed ? deflateRawSync(plain) : plain;
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0); // the version needed
    common.writeUInt16LE(compressed ? 8 : 0, 4);
    common.writeUInt16LE(0x21, 8); // 1980-01-01
    common.writeUInt32LE(crc32(plain), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(plain.length, 18);
    common.writeUInt16LE(name.length, 22);
    const entry = Buffer.alloc(16);
    entry.writeUInt32LE(offset, 12);
    local.push(Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), data);
    central.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, entry.subarray(2), Buffer.from(name));
    offset += 30 + name.length + data.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(local.length / 4, 8);
  end.writeUInt16LE(local.length / 4, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...local, directory, end]);
}

/** An object of class M, pickled. */
export const emptyModule = Buffer.from('\x80\x02c__torch__\nM\n)\x81}(X\x08\0\0\0training\x88ub.', 'latin1');

export const emptyConstants = Buffer.from('\x80\x02).', 'latin1');

export const moduleSource = (methods: string): string =>
  `class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n${methods.replace(/^/gm, '  ')}\n`;

/** Writes a module whose methods are `methods`, with `self: __torch__.M`. */
export function writeTorchScript(path: string, methods: string, data: Uint8Array = emptyModule): string {
  const code = moduleSource(methods);
  writeFileSync(
    path,
    zip({ 'm/data.pkl': data, 'm/code/__torch__.py': code, 'm/constants.pkl': emptyConstants, 'm/version': '3\n' }),
  );
  return path;
}

/** A module whose forward takes `parameters` after self and returns `expression`. */
export const forward = (parameters: string, expression: string, result = 'Tensor'): string =>
  `def forward(self: __torch__.M, ${parameters}) -> ${result}:\n  return ${expression}`;
