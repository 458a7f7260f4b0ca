// TFRecord files: https://www.tensorflow.org/tutorials/load_data/tfrecord

import { maskedCrc32c } from './crc32c.js';

/** Bytes before and after the data of a record: its length with a checksum, and the data's checksum. */
const [headerLength, footerLength] = [12, 4];

/** A record: the length in 64 bits, its masked checksum, the data, the data's masked checksum. */
export function recordOf(data: Uint8Array): Uint8Array {
  const record = Buffer.alloc(headerLength + data.length + footerLength);
  record.writeBigUInt64LE(BigInt(data.length));
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, headerLength);
  record.writeUInt32LE(maskedCrc32c(data), headerLength + data.length);
  return record;
}

/** A record in a file. */
export interface FoundRecord {
  data: Uint8Array;
  /** Where it ends, in bytes. */
  end: number;
}

/** The records at the beginning of a file, up to the first that is damaged or cut short. */
export function recordsIn(file: Buffer): FoundRecord[] {
  const found: FoundRecord[] = [];
  for (let at = 0; at + headerLength <= file.length; at = found.at(-1)!.end) {
    if (file.readUInt32LE(at + 8) !== maskedCrc32c(file.subarray(at, at + 8))) break;
    const dataEnd = at + headerLength + Number(file.readBigUInt64LE(at));
    if (dataEnd + footerLength > file.length) break;
    const data = file.subarray(at + headerLength, dataEnd);
    if (file.readUInt32LE(dataEnd) !== maskedCrc32c(data)) break;
    found.push({ data, end: dataEnd + footerLength });
  }
  return found;
}
