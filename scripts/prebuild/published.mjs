// What a published package has to contain, and whether it does.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

// The cpu variant for 2.14 is compiled against the CUDA build, whose CPU half is the same library: it serves machines
// where that build is installed and the libraries that its CUDA half needs are not.
export const published = {
  'libtorch-2.13-cpu': { variant: 'cpu', libtorch: { variant: 'cpu', version: '2.13.0' } },
  'libtorch-2.14-cpu': { variant: 'cpu', libtorch: { variant: 'cuda', version: '2.14.1' } },
  'libtorch-2.14-cuda': { variant: 'cuda', libtorch: { variant: 'cuda', version: '2.14.1' } },
};

/** The binaries of each, besides eam_torch.json. */
export const files = ['eam_torch.node', 'eam_loader.node'];

/**
 * Everything for which a package with these binaries must not be published.
 * @param prebuilds the folder with one folder for each of `published`
 * @param revision the commit that is published, and has to be the one they were compiled from
 */
export function missingFrom(prebuilds, revision) {
  const there = existsSync(prebuilds) ? readdirSync(prebuilds) : [];
  const strange = there.filter((name) => !(name in published)).map((name) => `${name} is not among what is published`);
  return [...strange, ...Object.keys(published).flatMap((name) => problemsIn(join(prebuilds, name), name, revision))];
}

function problemsIn(directory, name, revision) {
  let description;
  try {
    description = JSON.parse(readFileSync(join(directory, 'eam_torch.json'), 'utf8'));
  } catch (error) {
    return [
      `${name}: ` +
        `${error.code === 'ENOENT' ? 'it was not built' : `its eam_torch.json cannot be read: ${error.message}`}`,
    ];
  }
  const problems = [];
  const { variant, prebuilt } = description;
  if (variant !== published[name].variant) problems.push(`it is of the variant ${variant}`);
  if (prebuilt?.revision !== revision)
    problems.push(`it was compiled from ${prebuilt?.revision ?? 'no known commit'}, not from ${revision}`);
  for (const file of files) {
    const path = join(directory, file);
    if (!existsSync(path)) problems.push(`${file} is missing`);
    else if (createHash('sha256').update(readFileSync(path)).digest('hex') !== prebuilt?.sha256?.[file])
      problems.push(`${file} is not the one that its eam_torch.json describes`);
  }
  return problems.map((problem) => `${name}: ${problem}`);
}
