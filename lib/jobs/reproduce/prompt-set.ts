import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { ConfigError } from '../../errors.js';
import { parseDatasetName, snapshotOf } from '../../files/hub-cache.js';
import { readPrompts } from '../../schema/prompts.js';
import { expected } from '../../schema/validate.js';
import { HubError } from '../hub/error.js';
import { fetchModel } from '../hub/fetch.js';
import type { FetchOptions } from '../hub/transfer.js';
import type { PromptSource } from './recipe.js';

/** A set of prompts: where it is from, and what is in it, unless it is still to be fetched. */
export interface PromptSet {
  /** The file's path; of one that is still to be fetched its name on the hub. */
  place: string;
  /** Undefined where the file is not here yet. */
  prompts: string[] | undefined;
  /** It says whether it is another file than the published one. */
  isGiven: boolean;
}

/** The name of a set on the hub. */
export const nameOf = ({ dataset, file }: PromptSource): string => `${dataset}/${file}`;

/**
 * Finds prompts: in the file that is given, or in the hub's cache.
 * @param flag names the file that can be given, for messages
 * @param fetching fetches what is not in the cache; undefined leaves it to be fetched
 * @throws ConfigError for a file that cannot be read or has no prompts left; HubError where the hub gives none
 */
export async function findPrompts(
  source: PromptSource,
  given: string | undefined,
  flag: string,
  fetching: FetchOptions | undefined,
): Promise<PromptSet> {
  const snapshot = snapshotOf(parseDatasetName(source.dataset)!);
  const cached = snapshot === undefined ? undefined : join(snapshot, source.file);
  const there = given ?? (cached !== undefined && existsSync(cached) ? cached : undefined);
  if (there === undefined && !fetching) return { place: nameOf(source), prompts: undefined, isGiven: false };
  const place = there ?? (await fetched(source, flag, fetching!));
  return { place, prompts: wanted(place, source), isGiven: given !== undefined };
}

async function fetched(source: PromptSource, flag: string, fetching: FetchOptions): Promise<string> {
  try {
    const { directory } = await fetchModel(source.dataset, { ...fetching, files: [source.file] });
    return join(directory, source.file);
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    throw new HubError(
      `${error.message}. Fetch the prompts where the hub can be reached, with eam fetch ${source.dataset} --file ` +
        `${source.file}, or name a file of them: ${flag} FILE`,
      { cause: error, status: error.status },
    );
  }
}

function wanted(place: string, { without }: PromptSource): string[] {
  const all = readPrompts(place);
  const prompts = without === undefined ? all : all.filter((prompt) => !new RegExp(without, 'u').test(prompt));
  if (prompts.length === 0) throw new ConfigError(expected(place, `a prompt without ${without}`, 'none'));
  return prompts;
}

/** At most so many different prompts, evenly spread over the list, which is the same choice for every seed. */
export function spreadOver(prompts: readonly string[], most: number): string[] {
  const different = [...new Set(prompts)];
  const count = Math.min(most, different.length);
  return Array.from({ length: count }, (_, at) => different[Math.floor((at * different.length) / count)]!);
}
