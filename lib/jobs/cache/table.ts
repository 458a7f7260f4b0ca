import { textEmbeddingsName } from '../../models/text-embeddings.js';
import { noCacheDirectory } from '../../runtime/native/libtorch.js';
import { endpointsName } from '../../training/endpoints.js';
import { bytesText } from '../text.js';
import type { CacheContents, CacheSize } from './cache.js';

const explanations: Readonly<Record<string, string>> = {
  [textEmbeddingsName]: 'of prompts; computed again when they are needed',
  [endpointsName]: 'of pretrained models, scored; drawn again when they are needed',
  loaded: 'which LibTorch loaded well with which binary',
};

/** The cache as a person reads it, and what was removed from it before. */
export function cacheTable({ directory, entries }: CacheContents, removed: CacheSize | undefined): string {
  if (directory === undefined) return `there is no cache: ${noCacheDirectory}`;
  const width = Math.max(...entries.map(({ name }) => name.length));
  const rows = entries.map(({ name, files, bytes }) => {
    const size = `${bytesText(bytes).padStart(10)}  ${String(files).padStart(6)} files`;
    return `  ${name.padEnd(width)}  ${size}  ${explanations[name] ?? ''}`.trimEnd();
  });
  return [
    ...(removed
      ? [`removed ${removed.files} files of text embeddings and endpoints, ${bytesText(removed.bytes)}`]
      : []),
    rows.length ? directory : `${directory} is empty`,
    ...rows,
  ].join('\n');
}
