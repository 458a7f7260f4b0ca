import { z } from 'zod';

import { isSecretName } from '../../schema/secrets.js';
import { file } from '../reward-kind.js';

/** Options of every reward that asks a service. */
export interface ServiceOptions {
  /** What it is called in logs; default: the kind's name. */
  label?: string | undefined;
  /** The environment variable that holds the service's key. The key itself never belongs into options. */
  keyFrom?: string | undefined;
  /** The header that carries the key; `authorization` does as `Bearer KEY`. @defaultValue 'authorization' */
  keyHeader?: string | undefined;
  /** Further headers; default: none. One that holds a key is refused. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** Seconds that a try may take, at most 300. @defaultValue 60 */
  timeout?: number | undefined;
  /** Tries after the first, for what may pass: no connection, no answer in time, HTTP 429 and 5xx. @defaultValue 5 */
  retries?: number | undefined;
  /**
   * Seconds before the second try; doubled for each later one up to a minute, less up to half by chance.
   * @defaultValue 1
   */
  backoff?: number | undefined;
  /** The longest wait in seconds that a service may ask for with `retry-after`. @defaultValue 300 */
  maxWait?: number | undefined;
  /** Requests at once. @defaultValue 4 */
  concurrency?: number | undefined;
  /** Whether a missing answer is an error; else it is NaN, and its image leaves the step. @defaultValue true */
  required?: boolean | undefined;
  /** Where answers are kept, so that no image is asked about twice. */
  cache?:
    | {
        /** Answers in memory; 0: none. @defaultValue 10000 */
        entries?: number | undefined;
        /** A folder for all answers, a file each; default: none. */
        directory?: string | undefined;
      }
    | undefined;
}

/** A mistake whose value no message may show. */
const refuseSecret = (message: string) => ({ code: 'custom' as const, message, params: { secret: true } });
const inEnvironment = 'set the key as an environment variable, and name that in keyFrom';

/** An address of http or https. */
export const serviceUrl = z.string().superRefine((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    context.addIssue('expected an address that begins with http:// or https://');
    return;
  }
  const secret = [...url.searchParams.keys()].find(isSecretName);
  if (url.username || url.password)
    context.addIssue(refuseSecret(`expected an address without a name and a password; ${inEnvironment}`));
  else if (secret !== undefined)
    context.addIssue(refuseSecret(`expected an address without "${secret}"; ${inEnvironment}`));
});

const headerName = /^[!#$%&'*+.^_`|~\w-]+$/;
const headers = z.record(z.string(), z.string()).superRefine((given, context) => {
  for (const [name, value] of Object.entries(given)) {
    const path = [name];
    if (isSecretName(name) || /^(bearer|basic)\s|^sk-/i.test(value))
      context.addIssue({
        ...refuseSecret(`expected no key here; ${inEnvironment} (keyHeader: "${name}" where it is this header's)`),
        path,
      });
    else if (!headerName.test(name))
      context.addIssue({ code: 'custom', message: 'expected the name of a header', path });
    else if (!/^[\t\x20-\x7e]*$/.test(value))
      context.addIssue({ code: 'custom', message: 'expected printable ASCII', path });
  }
});

const keyFrom = z.string().superRefine((name, context) => {
  if (/^[A-Z][A-Z0-9_]{0,63}$/.test(name)) return;
  context.addIssue(
    refuseSecret(
      'expected the name of an environment variable in capital letters, such as JUDGE_KEY; a key itself does not ' +
        'belong into a configuration',
    ),
  );
});

/** Members of the schema of every reward that asks a service. */
export const serviceShape = {
  label: z.string().min(1).optional().describe("Logs call it by this name; left out, they call it by the kind's."),
  keyFrom: keyFrom
    .optional()
    .describe('The environment variable of this name holds the key of the service; left out, requests carry none.'),
  keyHeader: z
    .string()
    .regex(headerName, 'expected the name of a header')
    .default('authorization')
    .describe('This header carries the key.'),
  headers: headers.default({}).describe('Requests have these headers, too; none of them may hold a key.'),
  // Node's fetch gives up after 300 seconds without a byte, whatever it is told.
  timeout: z.number().positive().max(300).default(60).describe('A try may take this many seconds.'),
  retries: z
    .int()
    .min(0)
    .max(100)
    .default(5)
    .describe('A request that failed in a way that may pass is tried this many times again.'),
  backoff: z
    .number()
    .min(0)
    .max(60)
    .default(1)
    .describe('About this many seconds pass before the second try; later waits are longer.'),
  maxWait: z.number().min(0).default(300).describe('A service may ask for a wait of at most this many seconds.'),
  concurrency: z.int().min(1).max(256).default(4).describe('There are at most this many requests at once.'),
  required: z
    .boolean()
    .default(true)
    .describe('True makes a missing answer an error; false leaves its image out of the step.'),
  cache: z
    .strictObject({
      entries: z
        .int()
        .min(0)
        .max(10_000_000)
        .default(10_000)
        .describe('Memory holds at most this many answers; with 0 it holds none.'),
      directory: file.optional().describe('All answers are kept in this folder; left out, they are in memory alone.'),
    })
    .prefault({})
    .describe('Answers are kept as this says, so that no image is asked about twice.'),
};

const serviceSchema = z.strictObject(serviceShape);
export type ServiceSettings = z.output<typeof serviceSchema>;
