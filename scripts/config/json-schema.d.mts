import type { z } from 'zod';

/** zod's JSON Schema of what a schema takes, with the marks of lib/schema/configuration.ts in it. */
export function marked(schema: z.ZodType): Record<string, unknown>;
