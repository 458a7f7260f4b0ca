// Files of torch.save: what PyTorch wrote, and what nobody should load.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { saveTensors } from '../../lib/files/safetensors.js';
import { Tensor } from '../../lib/runtime/tensor.js';
import { numbersOf } from '../helpers/numbers.js';
import { temporaryFolder } from '../helpers/tiny-run.js';
import { zip } from '../helpers/torchscript.js';

const folder = temporaryFolder();
// Written by the generate.py beside them.
const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/torch-files/${name}`, import.meta.url));
const read = (path: string) => binding().readTorchFile(path);
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

let files = 0;
function write(content: string | Uint8Array): string {
  const path = join(folder, `file-${++files}.pt`);
  writeFileSync(path, content);
  return path;
}
async function refusal(path: string): Promise<string> {
  const error = await read(path).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  const { message } = error as Error;
  expect(message.startsWith(`${path}: `), message).toBe(true);
  expect(message).not.toMatch(/Exception raised from|frame #|\.c(c|pp):\d|INTERNAL ASSERT/);
  return message;
}

describe('what PyTorch saves', () => {
  const module = {
    '0.weight': [2, 3],
    '0.bias': [2],
    '1.weight': [2],
    '1.bias': [2],
    '1.running_mean': [2],
    '1.running_var': [2],
  };

  it.each(['ordered.pt', 'from-cuda.pt'])('a state_dict(), %s', async (name) => {
    const tensors = await read(fixture(name));
    expect(Object.keys(tensors).sort()).toEqual([...Object.keys(module), '1.num_batches_tracked'].sort());
    for (const [key, shape] of Object.entries(module)) {
      expect(tensors[key]!.shape).toEqual(shape);
      expect(tensors[key]!.device).toBe('cpu');
      expect(await numbersOf(tensors[key]!)).toEqual(numbers(shape.reduce((a, b) => a * b)));
    }
    expect(tensors['1.num_batches_tracked']!.dtype).toBe('int64');
    expect(await numbersOf(tensors['1.num_batches_tracked']!)).toEqual([7]);
  });

  it('a checkpoint with what else a training holds, under dotted names', async () => {
    const tensors = await read(fixture('nested.pt'));
    expect(Object.keys(tensors)).toEqual([
      ...['0.weight', '0.bias', '1.weight', '1.bias', '1.running_mean', '1.running_var', '1.num_batches_tracked'].map(
        (key) => `state_dict.${key}`,
      ),
      'optimizer.state.0.exp_avg',
      'optimizer.state.12.exp_avg',
    ]);
    expect(await numbersOf(tensors['optimizer.state.12.exp_avg']!)).toEqual([-0, -1]);
  });

  it('every type of number', async () => {
    const tensors = await read(fixture('dtypes.pt'));
    const found = Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tensor.dtype]));
    expect(found).toEqual({
      float16: 'float16',
      bfloat16: 'bfloat16',
      float32: 'float32',
      float64: 'float64',
      int64: 'int64',
      int32: 'int32',
      int16: 'int32',
      int8: 'int32',
      uint8: 'uint8',
      bool: 'int32',
    });
    for (const [name, tensor] of Object.entries(tensors)) {
      expect(await numbersOf(tensor), name).toEqual(name === 'bool' ? [0, 1, 1, 1, 1, 1] : numbers(6));
    }
  });

  it('parameters and views', async () => {
    const tensors = await read(fixture('views.pt'));
    const found = Object.fromEntries(
      await Promise.all(
        Object.entries(tensors).map(async ([name, tensor]) => [name, [tensor.shape, await numbersOf(tensor)]]),
      ),
    );
    expect(found).toEqual({
      parameter: [[2, 2], numbers(4)],
      transposed: [
        [3, 4],
        [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11],
      ],
      rows: [[2, 3], numbers(9).slice(3)],
      whole: [[4, 3], numbers(12)],
      empty: [[0, 5], []],
      positions: [[1, 4], numbers(4)],
      scalar: [[], [1.5]],
    });
  });
});

describe('what is no dictionary of tensors', () => {
  it('runs nothing of a hostile pickle', async () => {
    expect(await refusal(fixture('hostile.pt'))).toMatch(/posix\.system of Python.*nothing in a file is run/);
    expect(existsSync('pwned')).toBe(false);
  });

  it.each([
    ['module.pt', 'torch.nn.modules.linear.Linear'],
    ['legacy.pt', 'before PyTorch 1.6'],
    ['protocol4.pt', 'protocol 4, expected 2'],
    ['negated.pt', 'offset, a shape and strides'],
  ])('%s', async (name, why) => {
    expect(await refusal(fixture(name))).toContain(why);
  });

  it('other files', async () => {
    const safetensors = join(folder, 'a.safetensors');
    await saveTensors(safetensors, { a: Tensor.from(new Float32Array(2), [2]) });
    mkdirSync(join(folder, 'directory'));
    expect(await refusal(safetensors)).toContain('safetensors file');
    expect(await refusal(join(folder, 'directory'))).toContain('not a regular file');
    expect(await refusal(join(folder, 'missing'))).toContain('No such file');
    expect(await refusal(write(''))).toContain('empty');
    expect(await refusal(write('<!doctype html><title>Sign in</title>'))).toContain('a page was saved');
    expect(await refusal(write('version https://git-lfs.github.com/spec/v1\noid sha256:00\n'))).toContain('Git LFS');
    expect(await refusal(fileURLToPath(new URL('../fixtures/torchscript/conv.pt', import.meta.url)))).toContain(
      'TorchScript',
    );
    expect(await refusal(write(zip({ 'a/notes.txt': 'text', 'a/version': '3\n' })))).toContain('no data.pkl');
    await expect(read(3 as never)).rejects.toBeInstanceOf(ConfigError);
  });

  it('files that were cut short', async () => {
    const whole = readFileSync(fixture('ordered.pt'));
    for (let length = 8; length < whole.length; length += 97) await refusal(write(whole.subarray(0, length)));
  });

  it('files with bytes changed, which read as something or not at all', async () => {
    const whole = readFileSync(fixture('nested.pt'));
    let state = 1;
    const draw = (limit: number) => (state = (state * 48271) % 0x7fffffff) % limit;
    let refused = 0;
    for (let i = 0; i < 600; ++i) {
      const changed = Buffer.from(whole);
      for (let changes = draw(4); changes >= 0; --changes) changed[draw(whole.length)] = draw(256);
      const path = write(changed);
      await read(path).then(
        (tensors) => Promise.all(Object.values(tensors).map(numbersOf)),
        async () => {
          ++refused;
          await refusal(path);
        },
      );
    }
    expect(refused).toBeGreaterThan(100);
  });
});

describe('pickles that PyTorch never wrote', () => {
  const u32 = (value: number) =>
    String.fromCharCode(value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24);
  const text = (value: string) => `X${u32(value.length)}${value}`;
  const number = (value: number) => `J${u32(value)}`;
  const tuple = (...items: string[]) => `(${items.join('')}t`;
  const type = 'ctorch\nFloatStorage\n';
  const storage = (count = 2, key = '0', kind = type) =>
    `${tuple(text('storage'), kind, text(key), text('cpu'), number(count))}Q`;
  const rebuild = 'ctorch._utils\n_rebuild_tensor_v2\n';
  const tensor = (shape: string[], strides: string[], { offset = 0, from = storage() } = {}) =>
    `${rebuild}${tuple(from, number(offset), tuple(...shape), tuple(...strides), '\x89', 'N')}R`;
  const pair = tensor([number(2)], [number(1)]);
  const dict = (...items: string[]) => `}(${items.join('')}u`;
  const pickle = (body: string, records: Record<string, string | Uint8Array> = {}, compressed = false) =>
    write(
      zip(
        {
          'a/data.pkl': Buffer.from(`\x80\x02${body}.`, 'latin1'),
          'a/data/0': new Uint8Array(new Float32Array([1, 2]).buffer),
          'a/version': '3\n',
          ...records,
        },
        compressed,
      ),
    );

  it('read where they are sound', async () => {
    expect(await numbersOf((await read(pickle(dict(text('a'), pair))))['a']!)).toEqual([1, 2]);
    const big = 'x'.repeat(300);
    expect(Object.keys(await read(pickle(dict(text(big), pair))))).toEqual([big]);
  });

  it.each([
    ['posix\nsystem', 'posix.system'],
    ['builtins\neval', 'builtins.eval'],
    ['__torch__\nM', '__torch__.M'],
    ['torch.jit._pickle\nrestore_type_tag', 'restore_type_tag'],
    ['torch._utils\n_rebuild_qtensor', '_rebuild_qtensor'],
    ['torch._utils\n_rebuild_sparse_tensor', '_rebuild_sparse_tensor'],
    ['torch._tensor\n_rebuild_from_type_v2', '_rebuild_from_type_v2'],
    ['torch.distributed.rpc\nrref', 'torch.distributed.rpc.rref'],
    ['torch\ndevice', 'torch.device'],
    ['torch\nQInt8Storage', 'torch.QInt8Storage'],
    ['__main__\nTensorID', '__main__.TensorID'],
  ])('name %j', async (global, name) => {
    expect(
      await refusal(pickle(dict(text('a'), pair, text('b'), `c${global}\n${tuple(text('touch pwned'))}R`))),
    ).toContain(name);
  });

  const huge = '\x8a\x08\0\0\0\0\0\0\0\x40';
  // LibTorch says some of it itself.
  it.each<[string, string, string | RegExp]>([
    [
      'a shape beyond its storage',
      tensor([number(3)], [number(1)]),
      /do not hold it|storage only has|invalid storage offset|overflowed/,
    ],
    [
      'an offset beyond it',
      tensor([number(1)], [number(1)], { offset: 2 }),
      /do not hold it|storage only has|invalid storage offset|overflowed/,
    ],
    [
      'a negative offset',
      tensor([number(1)], [number(1)], { offset: -1 }),
      /do not hold it|storage only has|invalid storage offset|overflowed/,
    ],
    [
      'a storage that claims more than its record',
      tensor([number(9)], [number(1)], { from: storage(1000) }),
      /do not hold it|storage only has|invalid storage offset|overflowed/,
    ],
    [
      'sizes whose product overflows',
      tensor([huge, huge], [number(1), number(1)]),
      /do not hold it|storage only has|invalid storage offset|overflowed/,
    ],
    [
      'strides that overflow',
      tensor([number(3)], [huge]),
      /do not hold it|storage only has|invalid storage offset|overflowed/,
    ],
    ['a negative size', tensor([number(-1)], [number(1)]), 'negative'],
    ['a negative stride', tensor([number(2)], [number(-1)]), 'negative'],
    ['an element a million times', tensor([number(1000), number(1000)], [number(0), number(0)]), 'repeats elements'],
    ['no storage', tensor([number(0)], [number(1)], { from: number(0) }), 'not made of a storage'],
    ['a record that is missing', tensor([number(2)], [number(1)], { from: storage(2, '7') }), 'no record data/7'],
    [
      'a type by number',
      tensor([number(2)], [number(1)], { from: storage(2, '0', number(200)) }),
      'not named by its type',
    ],
    ['too few parts', `${rebuild}${tuple(storage())}R`, 'offset, a shape and strides'],
    ['more strides than sizes', tensor([number(2)], [number(1), number(1)]), ''],
  ])('hold a tensor with %s', async (_, body, why) => {
    expect(await refusal(pickle(dict(text('a'), body)))).toMatch(why);
  });

  it.each<[string, string, string]>([
    ['a dictionary in itself', `}q\0${text('a')}h\0s`, 'in two places'],
    ['deep nesting', `${`}${text('a')}`.repeat(1000)}}${'s'.repeat(1000)}`, 'nested more than 64'],
    ['tuples in tuples', `)${'\x85'.repeat(100_000)}`, 'nested more than 64'],
    ['a memory of four billion values', `}r${u32(0xfffffff0)}`, 'out of order'],
    ['a memory never made', 'h\x05', 'did not remember'],
    ['a key without a value', `}(${text('a')}u`, 'no value'],
    ['an item before its container', `}(${text('a')}Ns`, 'malformed'],
    ['a container never opened', '}u', 'did not open'],
    ['a call of a number', `}${text('a')}K\x01)Rs`, 'no function'],
    ['a call without arguments', 'R', 'malformed'],
    ['a text longer than the file', `}X${u32(0xffffffff)}`, 'ends within'],
    ['a whole number of a hundred bytes', `}${text('a')}\x8a\x64${'1'.repeat(100)}s`, '64 bits'],
    ['a key that is a dictionary', '}}Ns', 'neither a string nor a whole number'],
    ['attributes of a tensor', `${pair}}b`, 'attributes'],
    ['an object', `}${text('a')}${rebuild})\x81s`, 'instruction 129'],
    ['an extension', '\x82\x01', 'instruction 130'],
    ['an instance', '(iposix\nsystem\n', 'instruction 105'],
    ['a global by stack', `${text('posix')}${text('system')}\x93`, 'instruction 147'],
    ['several values', '}}', 'several values'],
    ['a list', ']', 'no dictionary'],
    ['one tensor', pair, 'one tensor'],
    ['no tensor', `}${text('a')}K\x01s`, 'no tensor'],
    ['an OrderedDict out of a list', `ccollections\nOrderedDict\n${tuple(']')}R`, 'Python 2'],
    ['one name twice', dict(text('a.b'), pair, text('a'), dict(text('b'), pair)), "two tensors called 'a.b'"],
  ])('hold %s', async (_, body, why) => {
    expect(await refusal(pickle(body))).toContain(why);
  });

  it('do not end', async () => {
    expect(
      await refusal(write(zip({ 'a/data.pkl': Buffer.from('\x80\x02}', 'latin1'), 'a/version': '3\n' }))),
    ).toContain('ends within');
    expect(await refusal(write(zip({ 'a/data.pkl': '', 'a/version': '3\n' })))).toContain('ends within');
  });

  it('are compressed, or big-endian', async () => {
    const zeros = new Uint8Array(50_000_000);
    expect(await refusal(pickle(dict(text('a'), pair), { 'a/data/0': zeros }, true))).toMatch(
      /50000000 bytes.*does not compress/,
    );
    expect(await refusal(pickle(dict(text('a'), pair), { 'a/byteorder': 'big' }))).toContain('big-endian');
  });

  it('copy one storage over and over', async () => {
    const records = { 'a/data/0': new Uint8Array(8_000_000) };
    const view = tensor([number(1000), number(2000)], [number(1), number(1000)], { from: storage(2_000_000) });
    expect(await refusal(pickle(dict(...numbers(20).map((index) => text(`t${index}`) + view)), records))).toContain(
      'share storages too often',
    );
  });
});
