import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { validate } from '../../schema/validate.js';
import { excerpt, Fault } from './faults.js';

/** A string of JSON, or a number that JSON has no word for and Python's writer all the same. */
const stringOrNotFinite = /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g;

/**
 * Reads an answer's JSON; NaN and infinities count as null.
 * @throws Fault, a passing one: half an answer, or the page of a proxy in the service's place
 */
export function parseAnswer(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    try {
      return JSON.parse(text.replace(stringOrNotFinite, (part) => (part.startsWith('"') ? part : 'null')));
    } catch (error) {
      throw new Fault('passing', `its answer is no JSON: ${text ? excerpt(text) : 'it is empty'}`, { cause: error });
    }
  }
}

/** The answer as the schema has it. @throws Fault that says where it differs */
export function checkAnswer<Schema extends z.ZodType>(schema: Schema, json: unknown): z.output<Schema> {
  try {
    const { answer } = validate(z.object({ answer: schema }), { answer: json }, 'the service') as {
      answer: z.output<Schema>;
    };
    return answer;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [first, ...others] = error.message.replace(/^the service:\s+/, '').split('\n  ');
    throw new Fault('wrong', `${first}${others.length ? `, and ${others.length} more` : ''}`, { cause: error });
  }
}
