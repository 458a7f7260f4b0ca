// Feeds mutated safetensors files to the path that real ones take: the header parser and, where it accepts them and for
// some that it refuses, the file itself, native bounds checks, every byte of every tensor, and a network's weights.
// Each must be refused with a CheckpointError, or give exactly the file's bytes.
//
//     node test/fuzz/safetensors.mjs --seconds 60 | --executions 10000 [--seed 1] [--keep FOLDER]
//
// Prints the number of executions. The first one that is wrong, or that kills the process, leaves its file in the
// folder.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string' },
    executions: { type: 'string' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'string' },
  },
});
const dist = new URL('../../dist/', import.meta.url);
const { CheckpointError, EamError } = await import(new URL('errors.js', dist));
const { binding } = await import(new URL('runtime/native/index.js', dist));
const { parseHeader } = await import(new URL('files/safetensors-header.js', dist));
const { loadTensors, readTensors, saveTensors } = await import(new URL('files/safetensors.js', dist));
const { openWeights } = await import(new URL('files/weights.js', dist));

/** mulberry32: the same seed gives the same files. */
let state = Number(BigInt.asUintN(32, BigInt(flags.seed)));
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return (t ^ (t >>> 14)) >>> 0;
}
const below = (limit) => Math.floor((random() / 2 ** 32) * limit);
const pick = (list) => list[below(list.length || 1)];
const chance = (one) => below(one) === 0;

const widths = { F64: 8, I64: 8, F32: 4, I32: 4, F16: 2, BF16: 2, U8: 1 };
const dtypes = Object.keys(widths);
const oddNumbers = [
  '0',
  '1',
  '-1',
  '2',
  '7',
  '8',
  '2147483647',
  '2147483648',
  '4294967296',
  '9007199254740991',
  '9007199254740992',
  '9223372036854775807',
  '9223372036854775808',
  '18446744073709551615',
  '18446744073709551616',
  '1e309',
  '-1e309',
  '1e2',
  '0.5',
  '-0',
  '8.0',
  '00',
  '0x8',
  'NaN',
  'Infinity',
  'null',
  'true',
  '"8"',
  '[8]',
  '{}',
  '',
  `1${'0'.repeat(400)}`,
];
const oddNames = [
  '"__proto__"',
  '"constructor"',
  '"toString"',
  '"__metadata__"',
  '""',
  '"a\\u0000b"',
  '"\\ud800"',
  '"\\u0061"',
  '"a"',
  '"0"',
  "'a'",
  'a',
  '7',
  '"\\',
  `"${'n'.repeat(300)}"`,
];
const oddLengths = [
  0n,
  1n,
  7n,
  8n,
  2n ** 31n,
  2n ** 32n,
  100_000_000n,
  100_000_001n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 8n,
  2n ** 64n - 1n,
];

/** A valid file as text pieces: [name, [[key, value], …]] with every value as JSON text, so that any can be bent. */
function validFile() {
  const entries = [];
  let position = 0;
  for (let left = below(6); left > 0; left--) {
    const dtype = pick(dtypes);
    const shape = Array.from({ length: below(4) }, () => below(5));
    const bytes = shape.reduce((product, length) => product * length, widths[dtype]);
    entries.push([
      JSON.stringify(pick(['a', 'b.weight', 'ü', '0', 't']) + entries.length),
      [
        ['"dtype"', JSON.stringify(dtype)],
        ['"shape"', shape.map(String)],
        ['"data_offsets"', [String(position), String(position + bytes)]],
      ],
    ]);
    position += bytes;
  }
  if (chance(3)) entries.unshift(['"__metadata__"', [['"format"', '"pt"']]]);
  return { entries, data: Buffer.from(Array.from({ length: position }, () => below(256))) };
}

function bend({ entries }) {
  const entry = pick(entries);
  if (!Array.isArray(entry?.[1])) return;
  const field = pick(entry[1]);
  const numbers = entry[1].map(([, value]) => value).filter(Array.isArray);
  switch (below(12)) {
    case 0:
      entry[0] = pick(oddNames);
      break;
    case 1:
      entries.splice(below(entries.length + 1), 0, structuredClone(entry));
      break;
    case 2:
      if (field) entry[1].splice(below(entry[1].length + 1), 0, structuredClone(field));
      break;
    case 3:
      if (field) entry[1].splice(entry[1].indexOf(field), 1);
      break;
    case 4:
      if (field) field[0] = pick(oddNames);
      break;
    case 5:
      if (field)
        field[1] = chance(2) ? pick(oddNumbers) : JSON.stringify(pick([...dtypes, 'F8', 'U16', 'constructor']));
      break;
    case 6:
    case 7: {
      const list = pick(numbers);
      if (list) list[below(list.length + 1)] = pick(oddNumbers);
      break;
    }
    case 8: {
      const list = pick(numbers);
      if (list?.length) {
        const at = below(list.length);
        list[at] = String(Number(list[at]) + below(17) - 8);
      }
      break;
    }
    case 9:
      pick(numbers)?.reverse();
      break;
    case 10: {
      const list = pick(numbers);
      if (list) list.push(...Array.from({ length: below(40) }, () => pick(oddNumbers.slice(0, 4))));
      break;
    }
    case 11:
      entry[1] = chance(2) ? pick(oddNumbers) : '['.repeat(below(2000));
      break;
  }
}

function serialise({ entries, data }) {
  const space = () => (chance(8) ? pick([' ', '\n', '\t', '\r', '\u00a0', '\ufeff', ' // ', ',']) : '');
  const value = (item) => (Array.isArray(item) ? `[${item.join(`${space()},`)}]` : item);
  const fields = (list) =>
    Array.isArray(list) ? `{${list.map(([key, item]) => `${key}:${space()}${value(item)}`).join(',')}}` : list;
  const spaced = chance(4);
  const body = entries.map(([name, list]) => `${name}:${spaced ? space() : ''}${fields(list)}`).join(',');
  const text = `{${body}}${' '.repeat(below(8))}`;
  const header = Buffer.from(text);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, data]);
}

function damage(file) {
  const at = below(file.length + 1);
  switch (below(8)) {
    case 0:
      if (at < file.length) file[at] ^= 1 << below(8);
      return file;
    case 1:
      if (at < file.length) file[at] = below(256);
      return file;
    case 2:
      return file.subarray(0, at);
    case 3:
      return Buffer.concat([file, Buffer.alloc(below(20), below(256))]);
    case 4:
      if (file.length >= 8) file.writeBigUInt64LE(pick(oddLengths));
      return file;
    case 5:
      if (file.length >= 8) file.writeBigUInt64LE(BigInt.asUintN(64, file.readBigUInt64LE() + BigInt(below(17) - 8)));
      return file;
    case 6:
      return Buffer.concat([file.subarray(0, at), file.subarray(below(at + 1))]);
    default:
      return Buffer.concat([
        file.subarray(0, at),
        Buffer.from(pick(['{', '}', '[', ']', '"', ':', ',', '\\', '\0', '\xff', '"a":1,'])),
        file.subarray(at),
      ]);
  }
}

/** What an accepted file must hold, by another reading: JSON.parse is right where there is nothing to be refused. */
function expectedTensors(file) {
  const length = Number(file.readBigUInt64LE());
  const text = file.subarray(8, 8 + length).toString();
  const header = JSON.parse(text);
  // JSON.parse keeps one of two keys that are the same.
  const keys = [...text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)].filter(([, colon]) => colon).length;
  const kept = Object.values(header).reduce(
    (sum, value) => sum + Object.keys(value).length,
    Object.keys(header).length,
  );
  if (keys !== kept) throw new Error(`a key came twice: ${keys} keys, ${kept} of them different`);
  delete header.__metadata__;
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => [name, { dtype, shape, bytes: file.subarray(8 + length + begin, 8 + length + end) }],
    ),
  );
}

const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const folder = flags.keep ?? mkdtempSync(join(memory, 'eam-fuzz-'));
mkdirSync(folder, { recursive: true });
const path = join(folder, 'case.safetensors');
const config = { imageSize: 8, channels: 1, patchSize: 4, width: 8, depth: 1, heads: 1, mlpRatio: 1, classes: 2 };
const network = binding().newNetwork('digits', { config, seed: 1n, device: 'cpu' });
await saveTensors(path, network.weights());
const networkFile = readFileSync(path);

const counts = { executions: 0, files: 0, accepted: 0, refused: 0, direct: 0, networks: 0 };

/** A file that was taken must be what it says. */
async function check(file, load) {
  let tensors;
  try {
    tensors = await load(path);
  } catch (error) {
    if (error instanceof CheckpointError) return false;
    throw new Error(`not a CheckpointError: ${error?.stack}`);
  }
  const expected = expectedTensors(file);
  if (Object.keys(tensors).length !== expected.size) throw new Error('another number of tensors');
  for (const [name, { shape, bytes }] of expected) {
    const tensor = tensors[name];
    if (!tensor) throw new Error(`no tensor ${JSON.stringify(name)}`);
    if (tensor.shape.join() !== shape.join()) throw new Error(`${name} has shape ${tensor.shape}`);
    const data = await tensor.data();
    if (!Buffer.from(data.buffer, data.byteOffset, data.byteLength).equals(bytes))
      throw new Error(`${name} has other bytes`);
    (await tensor.to({ dtype: 'float64' })).dispose();
  }
  if (expected.has('blocks.0.attn.qkv.weight')) {
    counts.networks++;
    await network.load('weights', tensors).catch((error) => {
      if (!(error instanceof CheckpointError)) throw error;
    });
  }
  for (const tensor of Object.values(tensors)) tensor.dispose();
  return true;
}

/** The same file on its way to a network, which is all that shows more of it than names and shapes. */
async function checkWeights(file) {
  let weights;
  try {
    weights = await openWeights([{ path }]);
  } catch (error) {
    if (error instanceof CheckpointError) return false;
    throw new Error(`not a CheckpointError: ${error?.stack}`);
  }
  const expected = expectedTensors(file);
  const found = weights.tensors();
  if (found.length !== expected.size) throw new Error('another number of weights');
  for (const { name, shape } of found) {
    if (expected.get(name)?.shape.join() !== shape.join()) throw new Error(`${name} has shape ${shape}`);
  }
  if (expected.has('blocks.0.attn.qkv.weight')) {
    await binding()
      .loadNetwork('digits', { config, weights, device: 'cpu' })
      .catch((error) => {
        if (!(error instanceof CheckpointError)) throw error;
      });
  }
  weights.dispose();
  return true;
}

/** Entries that no parser has seen: the native side is reached with any. */
async function direct() {
  const number = () =>
    pick([
      0,
      1,
      -1,
      4,
      8,
      64,
      2 ** 31,
      2 ** 32,
      2 ** 52,
      2 ** 53 - 1,
      2 ** 53,
      0.5,
      NaN,
      Infinity,
      -0,
      '8',
      null,
      below(200),
    ]);
  const entries = Array.from({ length: below(4) }, () => ({
    name: pick(['a', 'b', '__proto__', '', 'a\0b', '\ud800', 7]),
    dtype: pick(['float32', 'float64', 'int32', 'int64', 'float16', 'bfloat16', 'bool', 'constructor']),
    shape: chance(20)
      ? number()
      : Array.from({ length: chance(20) ? 70 : below(4) }, () => (chance(3) ? number() : below(9))),
    begin: chance(3) ? number() : below(100),
    end: chance(3) ? number() : below(100),
  }));
  if (chance(2)) for (const entry of entries) entry.end = entry.begin + 4 * below(9);
  counts.direct++;
  try {
    if (chance(3)) {
      const part = {
        within: pick(['', 'a', 7]),
        only: pick([undefined, [], ['a', 'b'], 'a']),
        under: pick(['', 'x.']),
      };
      const weights = await binding().openWeights([{ path, entries, ...part }]);
      weights.tensors();
      weights.dispose();
    } else {
      for (const tensor of Object.values(await binding()[pick(['mapTensors', 'readTensors'])](path, entries))) {
        if (tensor.shape) await tensor.data();
      }
    }
  } catch (error) {
    if (!(error instanceof EamError) || error.code === 'ERR_EAM_NATIVE')
      throw new Error(`entries ${JSON.stringify(entries)}: ${error?.stack}`);
  }
}

/** The parser alone, in memory: much faster than files are. */
function parses(file) {
  if (file.length < 8 || file.readBigUInt64LE() > BigInt(file.length - 8)) return false;
  try {
    parseHeader(file.subarray(8, 8 + Number(file.readBigUInt64LE())), file.length, path);
    return true;
  } catch (error) {
    if (error instanceof CheckpointError) return false;
    throw new Error(`not a CheckpointError: ${error?.stack}`);
  }
}

const limit = Number(flags.executions ?? Infinity);
const end = performance.now() + 1000 * Number(flags.seconds ?? (flags.executions ? Infinity : 60));
try {
  for (; counts.executions < limit && performance.now() < end; counts.executions++) {
    let file;
    if (chance(40)) {
      file = Buffer.from(networkFile);
    } else {
      const valid = validFile();
      for (let bends = chance(4) ? 0 : below(4); bends > 0; bends--) bend(valid);
      file = serialise(valid);
    }
    for (let damages = chance(2) ? 0 : below(4); damages > 0; damages--) file = damage(file);
    const accepted = parses(file);
    counts[accepted ? 'accepted' : 'refused']++;
    if (!accepted && !chance(20)) continue;
    counts.files++;
    writeFileSync(path, file);
    for (const load of [loadTensors, readTensors]) {
      if ((await check(file, load)) !== accepted) throw new Error(`${load.name} and parseHeader differ`);
    }
    if ((await checkWeights(file)) !== accepted) throw new Error('openWeights and parseHeader differ');
    if (chance(4)) await direct();
  }
} catch (error) {
  console.error(`execution ${counts.executions} of seed ${flags.seed}, file ${path}: ${error.stack}`);
  process.exit(1);
}
if (flags.keep === undefined) rmSync(folder, { recursive: true });
console.log(
  `TypeScript: ${counts.executions} headers, ${counts.accepted} accepted, ${counts.refused} refused; ` +
    `${counts.files} files mapped and read, ${counts.networks} tried as weights; ${counts.direct} with entries ` +
    `of any kind; seed ${flags.seed}`,
);
