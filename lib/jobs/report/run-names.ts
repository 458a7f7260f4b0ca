import { sep } from 'node:path';

import type { RunView } from './run-view.js';

/** Names runs on a page by as much of the ends of their paths as tells them apart. */
export function runNames(views: readonly RunView[]): string[] {
  const paths = views.map(({ directory }) => directory.split(sep));
  const named = (depth: number) => paths.map((parts) => parts.slice(-depth).join('/'));
  const deepest = Math.max(...paths.map(({ length }) => length));
  for (let depth = 1; depth < deepest; depth++) {
    const names = named(depth);
    if (new Set(names).size === names.length) return names;
  }
  return named(deepest);
}
