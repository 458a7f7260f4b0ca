// What every file of a configuration may hold, and what its schemas tell of themselves.

import { z } from 'zod';

/** The address of a file's JSON Schema. Nothing here reads it. */
export const schemaAddress = z
  .string()
  .optional()
  .describe('Editors find the JSON Schema of the file here; left out, they complete and check nothing.');

declare module 'zod' {
  /** What a schema tells those who write the reference, the types and the JSON Schemas of configurations from it. */
  interface GlobalMeta {
    /** The TypeScript type of what it takes. It is described once, however many configurations hold it. */
    typescript?: string;
    /** A TypeScript type that it takes, too, which no file can hold. */
    also?: string;
    /** Whether no file can hold any of it. */
    code?: boolean;
    /** Whether the list may also be the path of a file of such. */
    orFile?: boolean;
  }
}

/** What the type of a schema is called. */
export const called = (type: string) => ({ typescript: type });
