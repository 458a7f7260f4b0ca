// Files of torch.save: what PyTorch wrote, and what nobody should load.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { saveTensors } from '../../lib/files/safetensors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
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

describe('a file of torch.save', () => {
  const module = {
    '0.weight': [2, 3],
    '0.bias': [2],
    '1.weight': [2],
    '1.bias': [2],
    '1.running_mean': [2],
    '1.running_var': [2],
  };

  it.each(['ordered.pt', 'from-cuda.pt'])('is read as a state_dict(): %s', async (name) => {
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

  it('is read as a checkpoint that holds more than tensors, under dotted names', async () => {
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

  it('is read in every type of number', async () => {
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

  it('is read with parameters and views', async () => {
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

describe('a file that is no dictionary of tensors', () => {
  it('runs nothing of a hostile pickle', async () => {
    expect(await refusal(fixture('hostile.pt'))).toMatch(/posix\.system of Python.*nothing in a file is run/);
    expect(existsSync('pwned')).toBe(false);
  });

  it.each([
    { name: 'module.pt', why: 'torch.nn.modules.linear.Linear' },
    { name: 'legacy.pt', why: 'before PyTorch 1.6' },
    { name: 'protocol4.pt', why: 'its pickle: expected protocol 2, that of torch.save, got 4; save it again' },
    { name: 'negated.pt', why: 'offset, a shape and strides' },
  ])('is refused as $name', async ({ name, why }) => {
    expect(await refusal(fixture(name))).toContain(why);
  });

  it('is refused where torch.save did not write it', async () => {
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

  it('is refused where it is cut short', async () => {
    const whole = readFileSync(fixture('ordered.pt'));
    for (let length = 8; length < whole.length; length += 97) await refusal(write(whole.subarray(0, length)));
  });

  it('is read as something or refused where its bytes are changed', async () => {
    const whole = readFileSync(fixture('nested.pt'));
    let state = 1;
    const draw = (limit: number) => {
      state = (state * 48271) % 0x7fffffff;
      return state % limit;
    };
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

describe('a pickle that PyTorch never wrote', () => {
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

  it('is read where it is sound', async () => {
    expect(await numbersOf((await read(pickle(dict(text('a'), pair))))['a']!)).toEqual([1, 2]);
    const big = 'x'.repeat(300);
    expect(Object.keys(await read(pickle(dict(text(big), pair))))).toEqual([big]);
  });

  it.each([
    { global: 'posix\nsystem', name: 'posix.system' },
    { global: 'builtins\neval', name: 'builtins.eval' },
    { global: '__torch__\nM', name: '__torch__.M' },
    { global: 'torch.jit._pickle\nrestore_type_tag', name: 'restore_type_tag' },
    { global: 'torch._utils\n_rebuild_qtensor', name: '_rebuild_qtensor' },
    { global: 'torch._utils\n_rebuild_sparse_tensor', name: '_rebuild_sparse_tensor' },
    { global: 'torch._tensor\n_rebuild_from_type_v2', name: '_rebuild_from_type_v2' },
    { global: 'torch.distributed.rpc\nrref', name: 'torch.distributed.rpc.rref' },
    { global: 'torch\ndevice', name: 'torch.device' },
    { global: 'torch\nQInt8Storage', name: 'torch.QInt8Storage' },
    { global: '__main__\nTensorID', name: '__main__.TensorID' },
  ])('is refused where it names $global', async ({ global, name }) => {
    expect(
      await refusal(pickle(dict(text('a'), pair, text('b'), `c${global}\n${tuple(text('touch pwned'))}R`))),
    ).toContain(name);
  });

  const huge = '\x8a\x08\0\0\0\0\0\0\0\x40';
  // LibTorch says some of it itself.
  it.each<{ what: string; body: string; why: string | RegExp }>([
    {
      what: 'a shape beyond its storage',
      body: tensor([number(3)], [number(1)]),
      why: /do not hold it|storage only has|invalid storage offset|overflowed/,
    },
    {
      what: 'an offset beyond it',
      body: tensor([number(1)], [number(1)], { offset: 2 }),
      why: /do not hold it|storage only has|invalid storage offset|overflowed/,
    },
    {
      what: 'a negative offset',
      body: tensor([number(1)], [number(1)], { offset: -1 }),
      why: /do not hold it|storage only has|invalid storage offset|overflowed/,
    },
    {
      what: 'a storage that claims more than its record',
      body: tensor([number(9)], [number(1)], { from: storage(1000) }),
      why: /do not hold it|storage only has|invalid storage offset|overflowed/,
    },
    {
      what: 'sizes whose product overflows',
      body: tensor([huge, huge], [number(1), number(1)]),
      why: /do not hold it|storage only has|invalid storage offset|overflowed/,
    },
    {
      what: 'strides that overflow',
      body: tensor([number(3)], [huge]),
      why: /do not hold it|storage only has|invalid storage offset|overflowed/,
    },
    { what: 'a negative size', body: tensor([number(-1)], [number(1)]), why: 'negative' },
    { what: 'a negative stride', body: tensor([number(2)], [number(-1)]), why: 'negative' },
    {
      what: 'an element a million times',
      body: tensor([number(1000), number(1000)], [number(0), number(0)]),
      why: 'repeats elements',
    },
    { what: 'no storage', body: tensor([number(0)], [number(1)], { from: number(0) }), why: 'not made of a storage' },
    {
      what: 'a record that is missing',
      body: tensor([number(2)], [number(1)], { from: storage(2, '7') }),
      why: 'no record data/7',
    },
    {
      what: 'a type by number',
      body: tensor([number(2)], [number(1)], { from: storage(2, '0', number(200)) }),
      why: 'not named by its type',
    },
    { what: 'too few parts', body: `${rebuild}${tuple(storage())}R`, why: 'offset, a shape and strides' },
    { what: 'more strides than sizes', body: tensor([number(2)], [number(1), number(1)]), why: '' },
  ])('is refused where it holds a tensor with $what', async ({ body, why }) => {
    expect(await refusal(pickle(dict(text('a'), body)))).toMatch(why);
  });

  it.each<{ what: string; body: string; why: string }>([
    { what: 'a dictionary in itself', body: `}q\0${text('a')}h\0s`, why: 'in two places' },
    { what: 'deep nesting', body: `${`}${text('a')}`.repeat(1000)}}${'s'.repeat(1000)}`, why: 'nested more than 64' },
    { what: 'tuples in tuples', body: `)${'\x85'.repeat(100_000)}`, why: 'nested more than 64' },
    { what: 'a memory of four billion values', body: `}r${u32(0xfffffff0)}`, why: 'out of order' },
    { what: 'a memory never made', body: 'h\x05', why: 'did not remember' },
    { what: 'a key without a value', body: `}(${text('a')}u`, why: 'no value' },
    { what: 'an item before its container', body: `}(${text('a')}Ns`, why: 'malformed' },
    { what: 'a container never opened', body: '}u', why: 'did not open' },
    { what: 'a call of a number', body: `}${text('a')}K\x01)Rs`, why: 'no function' },
    { what: 'a call without arguments', body: 'R', why: 'malformed' },
    { what: 'a text longer than the file', body: `}X${u32(0xffffffff)}`, why: 'ends within' },
    { what: 'a whole number of a hundred bytes', body: `}${text('a')}\x8a\x64${'1'.repeat(100)}s`, why: '64 bits' },
    { what: 'a key that is a dictionary', body: '}}Ns', why: 'neither a string nor a whole number' },
    { what: 'attributes of a tensor', body: `${pair}}b`, why: 'attributes' },
    { what: 'an object', body: `}${text('a')}${rebuild})\x81s`, why: 'instruction 129' },
    { what: 'an extension', body: '\x82\x01', why: 'instruction 130' },
    { what: 'an instance', body: '(iposix\nsystem\n', why: 'instruction 105' },
    { what: 'a global by stack', body: `${text('posix')}${text('system')}\x93`, why: 'instruction 147' },
    { what: 'several values', body: '}}', why: 'several values' },
    {
      what: 'a list',
      body: ']',
      why: 'its contents: expected a dictionary of tensors, such as a state_dict(), got something else',
    },
    { what: 'one tensor', body: pair, why: 'such as a state_dict(), got one tensor' },
    { what: 'no tensor', body: `}${text('a')}K\x01s`, why: 'no tensor' },
    { what: 'an OrderedDict out of a list', body: `ccollections\nOrderedDict\n${tuple(']')}R`, why: 'Python 2' },
    {
      what: 'one name twice',
      body: dict(text('a.b'), pair, text('a'), dict(text('b'), pair)),
      why: "two tensors called 'a.b'",
    },
  ])('is refused where it holds $what', async ({ body, why }) => {
    expect(await refusal(pickle(body))).toContain(why);
  });

  it('is refused where it does not end', async () => {
    expect(
      await refusal(write(zip({ 'a/data.pkl': Buffer.from('\x80\x02}', 'latin1'), 'a/version': '3\n' }))),
    ).toContain('ends within');
    expect(await refusal(write(zip({ 'a/data.pkl': '', 'a/version': '3\n' })))).toContain('ends within');
  });

  it('is refused where it is compressed, or big-endian', async () => {
    const zeros = new Uint8Array(50_000_000);
    expect(await refusal(pickle(dict(text('a'), pair), { 'a/data/0': zeros }, true))).toMatch(
      /50000000 bytes.*does not compress/,
    );
    expect(await refusal(pickle(dict(text('a'), pair), { 'a/byteorder': 'big' }))).toContain('big-endian');
  });

  it('is refused where it copies one storage over and over', async () => {
    const records = { 'a/data/0': new Uint8Array(8_000_000) };
    const view = tensor([number(1000), number(2000)], [number(1), number(1000)], { from: storage(2_000_000) });
    expect(await refusal(pickle(dict(...numbers(20).map((index) => text(`t${index}`) + view)), records))).toContain(
      'share storages too often',
    );
  });
});
