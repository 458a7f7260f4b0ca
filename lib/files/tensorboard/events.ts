// Events as TensorBoard reads them: tensorflow/core/util/event.proto, framework/summary.proto, framework/tensor.proto.

import { bytes, double, fieldsOf, float, integer, message, text, type Field } from './protobuf.js';

/** The fields of an event. */
const event = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 };

const value = { tag: 1, simpleValue: 2, image: 4, tensor: 8, metadata: 9 };

/** These numbers say of what kind a summary is (TensorBoard, text plugin, metadata.py). */
const [dataClassTensor, typeString, sessionStart] = [2, 7, 1];

const eventOf = (step: number, ...fields: readonly Field[]): Uint8Array =>
  Buffer.concat([double(event.wallTime, Date.now() / 1000), integer(event.step, step), ...fields]);

/** The first event of a file. */
export const versionEvent = (): Uint8Array => eventOf(0, text(event.fileVersion, 'brain.Event:2'));

/** Readers that have seen events of this step or later forget them: those of a resumed run come again. */
export const restartEvent = (step: number): Uint8Array =>
  eventOf(step, message(event.sessionLog, integer(1, sessionStart)));

/** Numbers of one step. */
export const scalarsEvent = (step: number, scalars: readonly (readonly [tag: string, number])[]): Uint8Array =>
  eventOf(
    step,
    message(
      event.summary,
      ...scalars.map(([tag, number]) => message(1, text(value.tag, tag), float(value.simpleValue, number))),
    ),
  );

/** A picture. @param png the whole file */
export function imageEvent(step: number, tag: string, png: Uint8Array): Uint8Array {
  // The header comes first in a PNG: width and height at 16 and 20.
  const header = Buffer.from(png.buffer, png.byteOffset, png.byteLength);
  const size = [integer(1, header.readUInt32BE(20)), integer(2, header.readUInt32BE(16))];
  const image = message(value.image, ...size, integer(3, 3), bytes(4, png));
  return eventOf(step, message(event.summary, message(1, text(value.tag, tag), image)));
}

/** A text, which TensorBoard shows as Markdown. */
export function textEvent(step: number, tag: string, markdown: string): Uint8Array {
  const metadata = message(value.metadata, message(1, text(1, 'text')), integer(4, dataClassTensor));
  const tensor = message(
    value.tensor,
    integer(1, typeString),
    message(2, message(2, integer(1, 1))),
    text(8, markdown),
  );
  return eventOf(step, message(event.summary, message(1, text(value.tag, tag), tensor, metadata)));
}

/** The step of an encoded event, and the tags of what it holds. @throws RangeError for bytes that are none */
export function contentsOf(encoded: Uint8Array): { step: number; tags: string[] } {
  const tags: string[] = [];
  let step = 0;
  for (const [field, content] of fieldsOf(encoded)) {
    if (field === event.step) step = Number(content);
    if (field !== event.summary) continue;
    for (const [, summarized] of fieldsOf(content as Uint8Array))
      for (const [part, name] of fieldsOf(summarized as Uint8Array))
        if (part === value.tag) tags.push(Buffer.from(name as Uint8Array).toString());
  }
  return { step, tags };
}
