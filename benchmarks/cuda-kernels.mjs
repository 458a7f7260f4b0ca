// Which CUDA kernels there are, and what the compiler may make of them: read from what ptxas and cuobjdump print.

// What all tensors are; n1: any mix, read at run time.
const dtypes = ['fLi0', 'fLi2', 'fLi3', 'dLi1', 'fLin1', 'dLin1'];
const templates = (name) => dtypes.map((parameters) => `${name}<${parameters}>`);

/** By source: a kernel that is not found was not looked at, whatever the reason. */
export const kernels = {
  'affine.cu': [...templates('affine_kernel'), ...templates('regression_kernel'), 'sum_rows'],
  'optimizer.cu': ['adamw_kernel', 'ema_kernel', 'squares_kernel', 'sum_rows'],
};

/**
 * Bytes a thread, stored and loaded. Kernels of one dtype, the common ones, spill nothing. Those of any mix spill up to
 * three registers on some architectures, where ptxas prefers more threads.
 */
const mostSpilled = (kernel) => (kernel.endsWith('n1>') ? 24 : 0);

/** Accesses of 16 bytes that a kernel's code has at least: eight elements of each tensor, of up to eight terms. */
function leastVectors(kernel) {
  const [, name, parameters] = /^(\w+)(?:<(\w+)>)?$/.exec(kernel);
  const each = { fLi0: 2, fLi2: 1, fLi3: 1, dLi1: 4, fLin1: 1, dLin1: 1 }[parameters];
  return (
    {
      affine_kernel: { loads: 8 * each, stores: each },
      regression_kernel: { loads: 9 * each, stores: each },
      adamw_kernel: { loads: 4, stores: 3 },
      ema_kernel: { loads: 2, stores: 1 },
      squares_kernel: { loads: 1, stores: 0 },
    }[name] ?? { loads: 0, stores: 0 }
  );
}

/** `affine_kernel<fLi0>` of its mangled name. */
function nameOf(mangled) {
  const [, name, parameters] = /\d([a-z_]+_kernel|sum_rows)(?:I(\w+?)EE)?/.exec(mangled) ?? ['', mangled];
  return parameters ? `${name}<${parameters}>` : name;
}

/** Registers, stack and spills by kernel, of `ptxas -v`. */
export function readResources(text) {
  const entry = new RegExp(
    String.raw`Compiling entry function '(\w+)'[\s\S]*?(\d+) bytes stack frame, (\d+) bytes spill stores, ` +
      String.raw`(\d+) bytes spill loads[\s\S]*?Used (\d+) registers`,
    'g',
  );
  return new Map(
    [...text.matchAll(entry)].map(([, mangled, stack, spillStores, spillLoads, registers]) => [
      nameOf(mangled),
      {
        registers: Number(registers),
        stack: Number(stack),
        spillStores: Number(spillStores),
        spillLoads: Number(spillLoads),
      },
    ]),
  );
}

/** Loads and stores of 16 bytes by kernel, of `cuobjdump -sass`; not those of a thread's own stack. */
export function readVectors(text) {
  const functions = text.split(/^\s*Function : /m).slice(1);
  const count = (code, instruction) => [...code.matchAll(new RegExp(`\\b${instruction}G?\\.E\\.128\\b`, 'g'))].length;
  return new Map(
    functions.map((code) => [nameOf(/^\S+/.exec(code)[0]), { loads: count(code, 'LD'), stores: count(code, 'ST') }]),
  );
}

/**
 * Everything that is wrong with the kernels of a source; `vectors` is undefined where no cuobjdump is there to read
 * them.
 */
export function problemsOf(source, resources, vectors) {
  const expected = kernels[source];
  if (!expected) return [`${source} is not in the list of kernels (benchmarks/cuda-kernels.mjs)`];
  const problems = [];
  for (const kernel of expected) {
    const found = resources.get(kernel),
      wide = vectors?.get(kernel),
      least = leastVectors(kernel);
    if (!found) problems.push(`${kernel} is not in what ptxas printed: it was renamed, or the format is another`);
    else if (found.spillStores + found.spillLoads > mostSpilled(kernel))
      problems.push(`${kernel} spills ${found.spillStores} and loads ${found.spillLoads} bytes`);
    if (vectors && !wide) problems.push(`${kernel} is not in what cuobjdump printed`);
    else if (wide && (wide.loads < least.loads || wide.stores < least.stores)) {
      problems.push(
        `${kernel} has ${wide.loads} loads and ${wide.stores} stores of 16 bytes, expected at least ` +
          `${least.loads} and ${least.stores}`,
      );
    }
  }
  for (const kernel of resources.keys())
    if (!expected.includes(kernel))
      problems.push(`${kernel} is not in the list of kernels (benchmarks/cuda-kernels.mjs)`);
  return problems;
}
