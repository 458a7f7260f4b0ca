// The process of `trial.ts`: opens what it is told, says on standard output what it is about to do and how it went.

import { writeSync } from 'node:fs';

import type { Variant } from './libtorch.js';
import { open } from './open.js';

const [directory, variant, builtAgainst, libtorch] = process.argv.slice(2) as [string, Variant, string, string];
const say = (line: object): void => void writeSync(1, `${JSON.stringify(line)}\n`);
const result = open({ directory, variant, libtorch: builtAgainst }, { directory: libtorch }, (culprit) =>
  say({ culprit }),
);
say('culprit' in result ? result : { loaded: result.binding.libtorchVersion });
