import { cacheDirectory, howToDownload, type Variant } from '../../runtime/native/libtorch.js';
import { tryLibTorch } from '../../runtime/native/loader.js';
import { fetchLibTorch } from './fetch-libtorch.js';
import { versionToFetch } from './pip-request.js';
import { BuildError } from './run-command.js';
import { installCommands, inspectTools } from './tools.js';

/**
 * Fetches a LibTorch into the user's cache, for the addons that come prebuilt, and returns its folder.
 * Where there is an addon for it, that is loaded with it in a process of its own.
 * @throws BuildError where there is no Python to fetch it with, with the ways around that, or where it does not load
 */
export async function fetchIntoCache(variant: Variant, report: (line: string) => void): Promise<string> {
  const [python] = inspectTools(['python']);
  if (python!.problem !== undefined) {
    const install = installCommands(['python'])
      .map((command) => `  ${command}`)
      .join('\n');
    const byHand = howToDownload(variant === 'cpu' ? versionToFetch(variant) : undefined);
    throw new BuildError(
      `python3's pip fetches LibTorch, and ${python!.problem}. Install it,\n${install}\n` +
        `or do without Python:\n  ${byHand}`,
    );
  }
  const directory = await fetchLibTorch({ variant, cache: cacheDirectory(), python: python!.path!, report });
  const { addon, reason } = tryLibTorch(directory, variant);
  if (reason !== undefined) {
    const which = addon === undefined ? '' : ` with the addon in ${addon}`;
    throw new BuildError(`${directory} was fetched, and does not load${which}: ${reason}`);
  }
  report(
    addon === undefined
      ? `No ${variant} addon here is for it: npx eam build --variant ${variant}`
      : `The addon in ${addon} loads with it.`,
  );
  return directory;
}
