#!/usr/bin/env node
import { exitCode, run } from './run.js';
import { surviveDeadStreams } from './streams.js';

const lostOutput = surviveDeadStreams();
const code = await run(process.argv.slice(2));
// A reward that was left behind may keep the process alive.
if (code === exitCode.interrupted) process.exit(code);
process.exitCode = code;
process.once('beforeExit', () => {
  const lost = lostOutput();
  if (!lost) return;
  process.stderr.write(`error: the output could not be written: ${lost.message}\n`);
  process.exitCode ||= exitCode.failed;
});
