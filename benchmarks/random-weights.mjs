// Random weights of networks in the published layouts: what benchmarks measure and tests load.

import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A block of noise, repeated with a shift a tensor: quick to make, whatever the size. */
const noise = Float32Array.from({ length: 1_000_003 }, (_, i) => Math.sin(i * 12.9898 + 78.233) * 43758.5453).map(
  (value) => 2 * (value - Math.floor(value)) - 1,
);

/** As stored; bfloat16 is float32 without its lower half. */
const stored = {
  float32: (values) => values,
  bfloat16: (values) => Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16),
};

/** Weights that keep activations' size: norms and variances around 1, matrices scaled by what goes into them. */
function writeRandomWeights(path, shapes, dtype, { buildHeader }) {
  const tensors = Object.entries(shapes).map(([name, shape]) => ({ name, shape, dtype }));
  // Few scales for billions of numbers.
  const blocks = new Map();
  const blockOf = (mean, scale) => {
    const key = `${mean} ${scale}`;
    if (!blocks.has(key)) blocks.set(key, stored[dtype](noise.map((value) => mean + scale * value)));
    return blocks.get(key);
  };
  const file = openSync(path, 'w');
  writeSync(file, buildHeader(tensors, { format: 'pt' }));
  let start = 0;
  for (const { name, shape } of tensors) {
    const count = shape.reduce((product, size) => product * size, 1);
    const isNorm = shape.length === 1 && (/norm.*\.weight$/.test(name) || name.endsWith('.running_var'));
    const scale =
      shape.length === 1 ? 0.1 : 1.5 / Math.sqrt(shape.slice(1).reduce((product, size) => product * size, 1));
    const block = blockOf(isNorm ? 1 : 0, scale);
    for (let done = 0; done < count; ) {
      const part = block.subarray(start, start + Math.min(count - done, block.length - start));
      writeSync(file, part);
      done += part.length;
      start = (start + part.length) % block.length;
    }
  }
  closeSync(file);
}

/** One component's folder: its configuration, and random weights of these shapes. */
export function writeComponent(folder, { config, shapes, file, dtype }, library) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeRandomWeights(join(folder, file), shapes, dtype, library);
}
