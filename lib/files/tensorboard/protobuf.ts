// The part of Protocol Buffers' encoding that event files take: https://protobuf.dev/programming-guides/encoding/

/** Wire types. */
const [varint, fixed64, lengthDelimited, fixed32] = [0, 1, 2, 5];

/** A field of a message, encoded. */
export type Field = Uint8Array;

/** A whole number of at most 64 bits, which is not negative, seven bits a byte. */
function varintOf(value: bigint): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 0x80n) return [...bytes, Number(rest)];
    bytes.push(Number(rest & 0x7fn) | 0x80);
  }
}

const key = (field: number, type: number): number[] => varintOf(BigInt((field << 3) | type));

/** A whole number that is not negative. */
export const integer = (field: number, value: number): Field =>
  Uint8Array.from([...key(field, varint), ...varintOf(BigInt(value))]);

export function double(field: number, value: number): Field {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([Uint8Array.from(key(field, fixed64)), bytes]);
}

export function float(field: number, value: number): Field {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([Uint8Array.from(key(field, fixed32)), bytes]);
}

export const bytes = (field: number, value: Uint8Array): Field =>
  Buffer.concat([Uint8Array.from([...key(field, lengthDelimited), ...varintOf(BigInt(value.length))]), value]);

export const text = (field: number, value: string): Field => bytes(field, Buffer.from(value));

/** A message within a message. */
export const message = (field: number, ...fields: readonly Field[]): Field => bytes(field, Buffer.concat(fields));

/**
 * The fields of an encoded message: whole numbers, and the bytes of texts and messages. Other numbers are passed over.
 * @throws RangeError for bytes that are no message
 */
export function* fieldsOf(encoded: Uint8Array): Generator<readonly [field: number, value: number | Uint8Array]> {
  let at = 0;
  const next = (): bigint => {
    for (let value = 0n, shift = 0n; ; shift += 7n) {
      const byte = encoded[at++];
      if (byte === undefined) throw new RangeError('a message is cut short');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < encoded.length) {
    const head = Number(next());
    const type = head & 7;
    if (type === varint) {
      yield [head >> 3, Number(next())];
    } else if (type === lengthDelimited) {
      const length = Number(next());
      yield [head >> 3, encoded.subarray(at, at + length)];
      at += length;
    } else if (type === fixed64 || type === fixed32) {
      at += type === fixed64 ? 8 : 4;
    } else {
      throw new RangeError(`a message has the wire type ${type}`);
    }
  }
}
