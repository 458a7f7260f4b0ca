import { z } from 'zod';

import { parseLine, readPromptLines } from '../../schema/prompts.js';
import { ConfigError } from '../../errors.js';
import { expected } from '../../schema/validate.js';

const lineSchema = z.object({ prompt: z.string(), file: z.string().min(1).optional() });

/** A line of a file of prompts. */
export interface PromptLine {
  prompt: string;
  /** The image it belongs to, where the file says so. */
  file?: string | undefined;
}

/**
 * Reads prompts and, of a .jsonl, .ndjson or .json file, the images they belong to: {"file": …, "prompt": …} a line.
 * @throws ConfigError for a file that is missing, empty or holds anything else, with the line's number
 */
export function readPromptFile(path: string): PromptLine[] {
  return readPromptLines(path).map(({ text, json, place }) => {
    if (!json) return { prompt: text };
    const line = lineSchema.safeParse(parseLine(text, place));
    if (line.success) return line.data;
    const what = '{"prompt": "…"} or {"file": "….png", "prompt": "…"}';
    throw new ConfigError(expected(place, what, text.slice(0, 80)));
  });
}
