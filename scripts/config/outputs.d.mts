import type { z } from 'zod';

/** The text of every file that is written from these schemas, by its path. */
export function outputs(configurations: Readonly<Record<string, z.ZodType>>): Record<string, string>;
