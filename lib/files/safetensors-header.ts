import { expected } from '../schema/validate.js';
import { CheckpointError } from '../errors.js';
import type { DType, Float8 } from '../runtime/native/binding.js';

/** From the format's names of element types to ours. */
export const storedDTypes = {
  F64: { dtype: 'float64', bytes: 8 },
  I64: { dtype: 'int64', bytes: 8 },
  F32: { dtype: 'float32', bytes: 4 },
  I32: { dtype: 'int32', bytes: 4 },
  F16: { dtype: 'float16', bytes: 2 },
  BF16: { dtype: 'bfloat16', bytes: 2 },
  U8: { dtype: 'uint8', bytes: 1 },
} as const satisfies Readonly<Record<string, StoredDType>>;

/** What a type of the format is read as, and bytes of a number in the file. */
interface StoredDType {
  dtype: DType;
  bytes: number;
  /** What it is in the file, where that is narrower: every number of it is one of `dtype`, too. */
  stored?: Float8;
}

/** Numbers of 8 bits without scales, which are widened as they are read, and are not written. */
export const widenedDTypes: Readonly<Record<string, StoredDType>> = {
  F8_E4M3: { dtype: 'float16', bytes: 1, stored: 'float8_e4m3fn' },
  F8_E5M2: { dtype: 'float16', bytes: 1, stored: 'float8_e5m2' },
};

/** Types of weights in 8 bits or fewer. */
const fewBits = /^(F[468](_\w+)?|I[48])$/;

/** More dimensions than any network's tensors have; a header could otherwise list millions. */
const maxDimensions = 16;

export interface TensorEntry {
  name: string;
  dtype: DType;
  /** What the numbers are in the file, where that is narrower than `dtype`, as which they are read. */
  stored?: Float8;
  shape: number[];
  /** Bytes from the start of the data section. */
  begin: number;
  end: number;
}

export interface SafetensorsHeader {
  entries: TensorEntry[];
  metadata: Record<string, string>;
  /** Where the data section starts, in bytes from the start of the file. */
  dataStart: number;
}

/**
 * Checks the header's JSON (without the eight bytes of its length) against a file of `fileBytes` bytes: every tensor's
 * dtype, shape and place, and that the tensors cover the data section exactly, without gaps or overlaps.
 * @throws CheckpointError that says what is wrong with the file
 */
export function parseHeader(header: Uint8Array, fileBytes: number, path: string): SafetensorsHeader {
  const fail = (problem: string): never => {
    throw new CheckpointError(`${path} is not a valid safetensors file: ${problem}`);
  };
  let text = '';
  try {
    // A byte order mark is kept, and refused where '{' belongs.
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
  } catch {
    fail('its header is not UTF-8');
  }
  const { entries, metadata } = new HeaderReader(text, fail).read();

  const dataStart = 8 + header.length;
  const dataBytes = fileBytes - dataStart;
  for (const { name, begin, end } of entries) {
    if (begin > end || end > dataBytes) {
      fail(
        `tensor ${quoted(name)} lies at bytes ${begin} to ${end}, outside the ${dataBytes} bytes of data: the ` +
          'file is cut short or damaged',
      );
    }
  }
  let position = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < position) fail(`tensor ${quoted(name)} overlaps the one before it at byte ${begin}`);
    if (begin > position) fail(`bytes ${position} to ${begin} belong to no tensor`);
    position = end;
  }
  if (position !== dataBytes) fail(`its tensors end at byte ${position} of ${dataBytes} bytes of data`);
  return { entries, metadata, dataStart };
}

/**
 * Reads the one shape that a header may have and nothing else. JSON.parse would keep the last of two keys that are
 * the same, take 1e3 and −0 for sizes, and build whatever a hostile header nests before anything could be checked.
 */
class HeaderReader {
  #position = 0;

  constructor(
    private readonly text: string,
    private readonly fail: (problem: string) => never,
  ) {}

  read(): Omit<SafetensorsHeader, 'dataStart'> {
    if (this.text[0] !== '{') this.fail("its header does not start with '{'");
    const entries: TensorEntry[] = [];
    // No prototype: a key may be named like a property of one.
    const metadata: Record<string, string> = Object.create(null);
    this.#object('its header', (name) => {
      if (name === '__metadata__') {
        this.#object(name, (key) => (metadata[key] = this.#string(`__metadata__, the value of ${quoted(key)}`)));
      } else {
        entries.push(this.#entry(name));
      }
    });
    this.#skipSpace();
    if (this.#position < this.text.length) this.#unexpected('its header', 'its end');
    return { entries, metadata: { ...metadata } };
  }

  #entry(name: string): TensorEntry {
    // A name that a JavaScript object or a C string cannot hold would come back as another.
    if (name === '__proto__' || name.includes('\0')) this.fail(`a tensor cannot be named ${quoted(name)}`);
    const where = `tensor ${quoted(name)}`;
    let stored: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.#object(where, (key) => {
      if (key === 'dtype') stored = this.#string(`${where}, dtype`);
      else if (key === 'shape') shape = this.#sizes(`${where}, shape`, maxDimensions);
      else if (key === 'data_offsets') offsets = this.#sizes(`${where}, data_offsets`, 2);
      else this.fail(`${where} has an unknown key ${quoted(key)}; known are dtype, shape and data_offsets`);
    });
    if (stored === undefined) return this.fail(`${where} has no dtype`);
    if (shape === undefined) return this.fail(`${where} has no shape`);
    if (offsets?.length !== 2) return this.fail(`${where} has no data_offsets of two numbers`);
    const known: StoredDType | undefined =
      (Object.hasOwn(storedDTypes, stored) && storedDTypes[stored as keyof typeof storedDTypes]) ||
      (Object.hasOwn(widenedDTypes, stored) && widenedDTypes[stored]) ||
      undefined;
    if (!known) {
      const hint = fewBits.test(stored)
        ? ". Its weights are quantized, and such are not read: take the model's in F32, BF16 or F16"
        : '';
      return this.fail(
        expected(
          `${where}, dtype`,
          `one of ${[...Object.keys(storedDTypes), ...Object.keys(widenedDTypes)].join(', ')}`,
          quoted(stored),
        ) + hint,
      );
    }
    const { dtype, bytes } = known;
    const [begin, end] = offsets as [number, number];
    const needed = byteCount(shape, bytes);
    const size = needed === undefined ? 'more bytes than any file has' : `${needed} bytes`;
    if (needed === undefined || (begin <= end && end - begin !== needed)) {
      this.fail(expected(`${where}, data_offsets`, `${size} for ${stored} [${shape.join(', ')}]`, end - begin));
    }
    return { name, dtype, ...(known.stored && { stored: known.stored }), shape, begin, end };
  }

  /** `{ key: value, … }`; `readValue` reads each value. */
  #object(where: string, readValue: (key: string) => void): void {
    this.#expect('{', where);
    if (this.#take('}')) return;
    const keys = new Set<string>();
    do {
      const key = this.#string(`${where}, a key`);
      if (keys.has(key)) this.fail(`${where} has the key ${quoted(key)} twice`);
      keys.add(key);
      this.#expect(':', where);
      readValue(key);
    } while (this.#take(','));
    this.#expect('}', where);
  }

  #sizes(where: string, limit: number): number[] {
    this.#expect('[', where);
    const sizes: number[] = [];
    if (this.#take(']')) return sizes;
    do {
      if (sizes.length === limit) this.fail(`${where} has more than ${limit} numbers`);
      sizes.push(this.#size(`${where}.${sizes.length}`));
    } while (this.#take(','));
    this.#expect(']', where);
    return sizes;
  }

  /** A whole number from 0 to 2⁵³ − 1, digits only. */
  #size(where: string): number {
    this.#skipSpace();
    const digits = /(?:0|[1-9]\d{0,15})(?![\w.+-])/y;
    digits.lastIndex = this.#position;
    const value = Number(digits.exec(this.text)?.[0] ?? NaN);
    if (!Number.isSafeInteger(value)) this.#unexpected(where, 'a whole number from 0 to 2^53 - 1');
    this.#position = digits.lastIndex;
    return value;
  }

  #string(where: string): string {
    this.#skipSpace();
    const begin = this.#position;
    if (this.text[begin] !== '"') this.#unexpected(where, 'a string');
    // To the first quotation mark behind an even number of backslashes: no recursion, whatever the length.
    let end = begin;
    let backslashes: number;
    do {
      end = this.text.indexOf('"', end + 1);
      if (end < 0) this.fail(`${where}, character ${begin} of the header: a string without an end`);
      backslashes = 0;
      while (this.text[end - 1 - backslashes] === '\\') backslashes++;
    } while (backslashes % 2);
    this.#position = end + 1;
    let value = '';
    try {
      // Escapes, and control characters that must be escaped.
      value = JSON.parse(this.text.slice(begin, end + 1)) as string;
    } catch {
      this.fail(`${where}, character ${begin} of the header: not a string of JSON`);
    }
    // Half a surrogate pair has no UTF-8: different names would become the same.
    if (/\p{Surrogate}/u.test(value)) this.fail(`${where} has half a surrogate pair`);
    return value;
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.text[this.#position] !== character) return false;
    this.#position++;
    return true;
  }

  #expect(character: string, where: string): void {
    if (!this.#take(character)) this.#unexpected(where, `'${character}'`);
  }

  #skipSpace(): void {
    while (' \n\r\t'.includes(this.text[this.#position] ?? '-')) this.#position++;
  }

  #unexpected(where: string, what: string): never {
    const found =
      this.#position < this.text.length ? quoted(this.text.slice(this.#position, this.#position + 20)) : 'its end';
    return this.fail(expected(`${where}, character ${this.#position} of the header`, what, found));
  }
}

/** For a message, which a hostile name must not fill. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
}

/** Bytes of a tensor; `undefined` where they, or the elements of its longer dimensions, cannot be counted exactly. */
function byteCount(shape: readonly number[], elementBytes: number): number | undefined {
  // Lengths of 0 are left out: LibTorch multiplies the others for an empty tensor too.
  const bytes = shape.reduce((product, length) => product * (length || 1), elementBytes);
  if (!Number.isSafeInteger(bytes)) return undefined;
  return shape.includes(0) ? 0 : bytes;
}
