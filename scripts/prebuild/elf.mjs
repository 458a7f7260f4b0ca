// What a shared object asks of a system and shows to it, read with readelf, and what a published one may.

import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';

const readelf = (...args) =>
  execFileSync('readelf', ['--wide', ...args], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
    maxBuffer: 2 ** 28,
  });

const compare = (a, b) => {
  const [x, y] = [a, b].map((version) => version.split('.').map(Number));
  for (let i = 0; i < Math.max(x.length, y.length); ++i)
    if ((x[i] ?? 0) !== (y[i] ?? 0)) return (x[i] ?? 0) - (y[i] ?? 0);
  return 0;
};

/** The newest version of each set of versioned symbols that it asks for: { GLIBC: '2.14', GLIBCXX: '3.4.22', … }. */
function floorsIn(versionInfo) {
  const floors = {};
  for (const [, set, version] of versionInfo.matchAll(/Name: (GLIBC|GLIBCXX|CXXABI|GCC)_([\d.]+)/g)) {
    if (floors[set] === undefined || compare(version, floors[set]) > 0) floors[set] = version;
  }
  return floors;
}

export function inspectElf(path) {
  const dynamic = readelf('--dynamic', path);
  const symbols = readelf('--dyn-syms', path);
  const sections = readelf('--sections', path);
  return {
    machine: /Machine:\s*(.*)/.exec(readelf('--file-header', path))[1],
    bytes: statSync(path).size,
    needed: [...dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1]),
    runpath: [...dynamic.matchAll(/\((?:RPATH|RUNPATH)\).*\[(.*)\]/g)].map((match) => match[1]),
    // Num: Value Size Type Bind Vis Ndx Name
    exported: symbols
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([number, , , , bind, , index]) => /^\d+:$/.test(number) && bind !== 'LOCAL' && index !== 'UND')
      .map((columns) => columns[7].split('@')[0]),
    floors: floorsIn(readelf('--version-info', path)),
    stripped: !/\s\.(symtab|debug_\w+)\s/.test(sections),
  };
}

const megabytes = 10;
const entryPoints = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];
// LibTorch's own wheels ask for glibc 2.28; the others are of that time.
const newest = { GLIBC: '2.28', GLIBCXX: '3.4.25', CXXABI: '1.3.11', GCC: '7.0.0' };
const mayNeed = [
  /^libc10(_cuda)?\.so$/,
  /^libtorch_(cpu|cuda)\.so$/,
  /^libcudart\.so\.\d+$/,
  /^lib(stdc\+\+|m|gcc_s|c|dl|pthread)\.so\.\d$/,
  /^ld-linux-x86-64\.so\.2$/,
];

/** Everything for which `path` must not be published. */
export function problemsOf(path) {
  const elf = inspectElf(path);
  const problems = [];
  if (!/X86-64/.test(elf.machine)) problems.push(`it is for ${elf.machine}`);
  if (elf.bytes > megabytes * 1e6) problems.push(`it has ${elf.bytes} bytes, more than ${megabytes} MB`);
  if (!elf.stripped) problems.push('it is not stripped');
  if (elf.runpath.length > 0)
    problems.push(`it names folders of the machine it was built on: ${elf.runpath.join(', ')}`);
  const strange = elf.exported.filter((name) => !entryPoints.includes(name));
  if (strange.length > 0) problems.push(`it exports more than Node looks for: ${strange.slice(0, 10).join(', ')}`);
  if (!elf.exported.includes(entryPoints[0])) problems.push(`it does not export ${entryPoints[0]}`);
  const unexpected = elf.needed.filter((name) => !mayNeed.some((pattern) => pattern.test(name)));
  if (unexpected.length > 0) problems.push(`it needs ${unexpected.join(', ')}`);
  for (const [set, version] of Object.entries(elf.floors)) {
    if (compare(version, newest[set]) > 0) problems.push(`it asks for ${set}_${version}, newer than ${newest[set]}`);
  }
  return problems;
}
