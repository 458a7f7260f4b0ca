import { Command } from '@commander-js/extra-typings';

import { jsonOption } from './options.js';

export const cacheCommand = () =>
  new Command('cache')
    .description('Print where the cache is and what it holds.')
    .option(
      '--clear',
      'Remove text embeddings and endpoints from it first, which are made again when they are needed; LibTorch stays.',
    )
    .addOption(jsonOption())
    .action(async ({ clear, json }) => {
      const { clearCache, inspectCache } = await import('../jobs/cache/cache.js');
      const { cacheTable } = await import('../jobs/cache/table.js');
      const removed = clear ? await clearCache() : undefined;
      const { directory, entries } = await inspectCache();
      const text = json
        ? JSON.stringify({ directory: directory ?? null, ...(removed && { removed }), entries }, null, 2)
        : cacheTable({ directory, entries }, removed);
      process.stdout.write(`${text}\n`);
    });
