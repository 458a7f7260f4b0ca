#!/usr/bin/env node
import { run } from './run.js';

// A reader that has seen enough, such as `head`, is no failure of the command, whose exit code stays its own.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

process.exitCode = await run(process.argv.slice(2));
