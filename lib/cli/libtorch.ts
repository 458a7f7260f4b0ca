// `eam libtorch`: a LibTorch for the addons that come prebuilt, where there is none.

import { fetchLibTorch, versionToFetch } from '../jobs/build/fetch-libtorch.js';
import { BuildError } from '../jobs/build/run-command.js';
import { inspectTools, installCommands } from '../jobs/build/tools.js';
import { cacheDirectory, howToDownload, type Variant } from '../runtime/native/libtorch.js';

export async function runLibTorch({ variant }: { variant: Variant }): Promise<void> {
  const [python] = inspectTools(['python']);
  if (python!.problem !== undefined) {
    const install = installCommands(['python'])
      .map((command) => `  ${command}`)
      .join('\n');
    const byHand = howToDownload(variant === 'cpu' ? versionToFetch(variant) : undefined);
    throw new BuildError(
      `python3's pip fetches LibTorch, and ${python!.problem}. Install it,\n${install}\nor do without Python:\n  ${byHand}`,
    );
  }
  const directory = await fetchLibTorch({
    variant,
    cache: cacheDirectory(),
    python: python!.path!,
    report: (line) => void process.stderr.write(`${line}\n`),
  });
  process.stdout.write(`${directory}\n`);
}
