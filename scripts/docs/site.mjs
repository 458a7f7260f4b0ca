// `npm run docs`: checks the links of every document, builds the guides and the reference of the API into one site, and
// checks the links of its pages. The site is docs/site; it needs no server.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { root, sourceFiles } from '../lint/source-files.mjs';
import { map, unlistedGuides } from './guide-list.mjs';
import { brokenLinks, brokenPages, documentsOf } from './links.mjs';

const site = join(root, 'docs', 'site');

function report(problems) {
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
}

const files = sourceFiles();
report(unlistedGuides(readFileSync(join(root, map), 'utf8'), files));
report(brokenLinks(root, files, documentsOf(files)));

const typedoc = join(root, 'node_modules', 'typedoc', 'bin', 'typedoc');
const { status } = spawnSync(process.execPath, [typedoc, '--out', site], { cwd: root, stdio: 'inherit' });
if (status !== 0) process.exit(1);

report(brokenPages(site));
console.log(`every link leads somewhere; open ${join(site, 'index.html')}`);
