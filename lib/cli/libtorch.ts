// `eam libtorch`: a LibTorch for the addons that come prebuilt, where there is none.

import { fetchLibTorch } from '../build/fetch-libtorch.js';
import { BuildError } from '../build/run-command.js';
import { inspectTools, missingToolsMessage } from '../build/tools.js';
import { cacheDirectory, type Variant } from '../native/libtorch.js';

export async function runLibTorch({ variant }: { variant: Variant }): Promise<void> {
  const tools = inspectTools(['python']);
  const missing = missingToolsMessage(tools);
  if (missing) throw new BuildError(missing);
  const directory = await fetchLibTorch({ variant, cache: cacheDirectory(), python: tools[0]!.path!, report: (line) => void process.stderr.write(`${line}\n`) });
  process.stdout.write(`${directory}\n`);
}
