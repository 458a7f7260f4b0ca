// Imports and includes point down only: what may use what is written here, and every file is read.
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import {
  circles,
  importGraph,
  includeGraph,
  includesOf,
  reachable,
  type Rooms,
  sourcesIn,
  violations,
} from '../helpers/floors.js';

const one = (...entries: string[]) => ({ entries });
const closed = (...entries: string[]) => ({ entries, closed: true });

/** lib/, each folder from its lowest tier up. */
const lib: Rooms = {
  '': [
    one('errors.ts'),
    one('schema'),
    one('runtime'),
    one('files'),
    one('models'),
    one('rewards'),
    one('training'),
    one('jobs'),
    one('cli'),
    one('index.ts'),
  ],
  runtime: [one('package.ts', 'make-directory.ts'), one('native'), one('*')],
  // Loading knows nothing of what it loads; the addon's surface knows tensors and options.
  'runtime/native': [
    one('libtorch.ts', 'needed-libraries.ts'),
    one('addons.ts'),
    one('open.ts'),
    one('trial.ts', 'trial-process.ts'),
    one('loader.ts'),
    one('core.ts'),
    one('tensor.ts'),
    one('choices.generated.ts', 'noise.ts'),
    one('networks.generated.ts', 'options.generated.ts'),
    one('binding'),
    one('binding.ts'),
    one('index.ts'),
  ],
  models: [
    one(
      'model.ts',
      'footprint.ts',
      'times.ts',
      'shipped.ts',
      'text-embeddings.ts',
      'component-weights.ts',
      'single-file.ts',
      'single-file-layers.ts',
      'single-file-parts.ts',
      'moved-tensors.ts',
      'quantization.ts',
      'pretraining.ts',
      'own-parameters.ts',
      'image-folder.ts',
      'flow-task.ts',
      'folder-task.ts',
      'adapters',
      'pipeline',
      'autoencoder-kl',
      'tokenizers',
      'verification',
    ),
    one('model-kind.ts'),
    // A model is a room, or a file.
    closed('*'),
    one('kinds.ts', 'registry.ts', 'adapter-files.ts'),
  ],
  rewards: [
    one('reward.ts', 'identity.ts', 'combine.ts', 'from-function.ts', 'examples.ts', 'reward-kind.ts'),
    closed('*'),
    one('kinds.ts', 'registry.ts'),
  ],
  jobs: [
    one(
      'logging',
      'options.ts',
      'figures.ts',
      'text.ts',
      'text-table.ts',
      'lock.ts',
      'free-space.ts',
      'progress.ts',
      'existing-output.ts',
      'guidance.ts',
      'rehearsal.ts',
      'run-directory.ts',
      'run-record.ts',
      'run-status.ts',
      'stepped-run.ts',
      'device.ts',
      'settings',
      'evaluated',
      'chosen-adapters.ts',
      'adapted-model.ts',
    ),
    // Jobs that others use, too.
    closed('plan', 'report'),
    one('serve'),
    closed('*'),
    // A recipe runs other jobs.
    one('reproduce'),
    one('configurations.ts'),
  ],
  cli: [
    one('options.ts', 'job-command.ts', 'read-job.ts', 'hangup.ts', 'completions.ts', 'confirm.ts'),
    closed('*'),
    one('program.ts'),
    one('run.ts'),
    one('main.ts'),
  ],
};

/** native/, likewise. */
const native: Rooms = {
  '': [
    one('kernels'),
    one('ops'),
    closed('nn', 'algorithms', 'io'),
    closed('addon', 'describe', 'test', 'fuzz'),
    // Benchmarks share the tests' small helpers.
    closed('bench'),
  ],
  // An autoencoder may be made of another, a reward composes families, and the list of kinds knows them all.
  nn: [one('layers'), one('autoencoder_kl'), closed('*'), one('rewards'), one('kinds.h', 'kinds.cpp', 'kind_list.h')],
  addon: [one('runtime'), one('convert'), one('bindings'), closed('loader', 'portable')],
};

const folder = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const libSources = sourcesIn(folder('lib'), ['.ts']);
const typescript = importGraph(libSources);
const nativeSources = sourcesIn(folder('native'), ['.h', '.cpp', '.cu', '.cuh', '.inc', '.c']);
const cpp = includeGraph(nativeSources);

describe('lib/', () => {
  it('has files that the check reads', () => expect(typescript.size).toBeGreaterThan(150));
  it('imports downward only', () => expect(violations(typescript, lib)).toEqual([]));
  it('imports in no circle', () => expect(circles(typescript)).toEqual([]));

  it('loads little for the help of a command', () => {
    // What is imported when it is needed is left out.
    const imported = new Map(Array.from(libSources, ([path, text]) => [path, text.replaceAll('import(', 'load(')]));
    const loaded = reachable(importGraph(imported), 'cli/main.ts').filter((path) => !path.startsWith('cli/'));
    expect(loaded.sort()).toEqual([
      'errors.ts',
      'models/shipped.ts',
      'rewards/examples.ts',
      'runtime/native/choices.generated.ts',
      'runtime/package.ts',
    ]);
  });
});

describe('native/', () => {
  it('has files that the check reads', () => expect(cpp.size).toBeGreaterThan(150));
  it('includes downward only', () => expect(violations(cpp, native)).toEqual([]));
  it('includes in no circle', () => expect(circles(cpp)).toEqual([]));
  it('keeps LibTorch out of the kernels and Node-API in the addon', () => expect(strangers(nativeSources)).toEqual([]));
});

/** Includes of LibTorch in kernels, and of Node-API outside the addon. */
function strangers(sources: ReadonlyMap<string, string>): string[] {
  return Array.from(sources).flatMap(([path, text]) =>
    [...includesOf(text, '<'), ...includesOf(text, '"')].flatMap((name) => {
      const isTorch = /^(ATen|c10|caffe2|torch)\//.test(name);
      const isNode = /^(napi|node_api|js_native_api|uv|v8|node)\b/.test(name);
      return (isTorch && path.startsWith('kernels/')) || (isNode && !path.startsWith('addon/'))
        ? [`${path} includes ${name}`]
        : [];
    }),
  );
}

describe('the check of the floors', () => {
  const files = (sources: Record<string, string>) => new Map(Object.entries(sources));
  const good = {
    'errors.ts': '',
    'schema/json.ts': "import { EamError } from '../errors.js';",
    'jobs/progress.ts': '',
    'jobs/plan/plan.ts': "import { observe } from '../progress.js';",
    'jobs/finetune/finetune.ts': "import { plan } from '../plan/plan.js';",
    'jobs/merge.ts': '',
    'models/digits/model.ts': '',
    'models/sd3/model.ts': '',
    'cli/plan.ts': "const { plan } = await import('../jobs/plan/plan.js');",
    'cli/finetune.ts': "await import('../jobs/finetune/finetune.js');",
  };
  const judged = (change: Record<string, string>) => violations(importGraph(files({ ...good, ...change })), lib);

  it('accepts a file in its place', () => expect(judged({})).toEqual([]));

  it.each([
    { how: 'an import', text: "import { x } from '../schema/json.js';" },
    { how: 'an import over lines', text: "import {\n  x,\n  y,\n} from '../schema/json.js';" },
    { how: 'an import of a type', text: "import type { X } from '../schema/json.js';" },
    { how: 'a type in an import', text: "import { type X } from '../schema/json.js';" },
    { how: 'an import for its effect', text: "import '../schema/json.js';" },
    { how: 'a re-export', text: "export * from '../schema/json.js';" },
    { how: 'a re-exported type', text: "export type { X } from '../schema/json.js';" },
    { how: 'import()', text: "const { x } = await import('../schema/json.js');" },
    { how: 'a type of import()', text: "type X = typeof import('../schema/json.js');" },
    {
      how: 'an import after code',
      text: "const a = `b`;\nexport const b = a;\nimport { x } from '../schema/json.js';",
    },
  ])('finds an upward import by $how', ({ text }) => {
    const graph = importGraph(files({ 'errors/x.ts': text, 'schema/json.ts': '' }));
    expect(violations(graph, { '': [one('errors'), one('schema')] })).toEqual([
      'errors/x.ts uses schema/json.ts: schema is above errors',
    ]);
  });

  it.each([
    {
      what: 'a job in another',
      change: { 'jobs/merge.ts': "import type { X } from './finetune/finetune.js';" },
      line: 'jobs/merge.ts uses jobs/finetune/finetune.ts: merge.ts and finetune are closed to one another',
    },
    {
      what: 'a job in one that others use',
      change: { 'jobs/plan/plan.ts': "import { x } from '../finetune/finetune.js';" },
      line: 'jobs/plan/plan.ts uses jobs/finetune/finetune.ts: finetune is above plan',
    },
    {
      what: 'a room in what all jobs share',
      change: { 'jobs/progress.ts': "import { plan } from './plan/plan.js';" },
      line: 'jobs/progress.ts uses jobs/plan/plan.ts: plan is above progress.ts',
    },
    {
      what: 'a command in another',
      change: { 'cli/plan.ts': "import { x } from './finetune.js';" },
      line: 'cli/plan.ts uses cli/finetune.ts: plan.ts and finetune.ts are closed to one another',
    },
    {
      what: 'a model in another',
      change: { 'models/sd3/model.ts': "import { x } from '../digits/model.js';" },
      line: 'models/sd3/model.ts uses models/digits/model.ts: sd3 and digits are closed to one another',
    },
    {
      what: 'a folder that the table does not know',
      change: { 'odds/x.ts': '', 'cli/plan.ts': "import { x } from '../odds/x.js';" },
      line: 'cli/plan.ts uses odds/x.ts: odds has no place in the table of the root',
    },
    {
      what: 'a file that is not there',
      change: { 'cli/plan.ts': "import { x } from './gone.js';" },
      line: 'cli/plan.ts uses cli/gone.ts: there is no such file',
    },
  ])('finds $what', ({ change, line }) => expect(judged(change)).toEqual([line]));

  it('finds a circle, of types alone, too', () => {
    const graph = importGraph(
      files({
        'a.ts': "import type { B } from './b.js';",
        'b.ts': "export { c } from './c.js';",
        'c.ts': "import { type A } from './a.js';",
        'd.ts': "import './a.js';",
      }),
    );
    expect(circles(graph)).toEqual([['a.ts', 'b.ts', 'c.ts']]);
  });

  it('finds an upward and a sideways include', () => {
    const graph = includeGraph(
      files({
        'kernels/affine.h': '#pragma once\n#  include "ops/ops.h"\n',
        'ops/ops.h': '// #include "nn/sd3/block.h"\n',
        'nn/sd3/block.h': '#include "nn/t5/encoder.h"\n#include "ops/ops.h"\n',
        'nn/t5/encoder.h': '#include "algorithms/eam.h"\n',
        'algorithms/eam.h': '#include <string>\n',
      }),
    );
    expect(violations(graph, native)).toEqual([
      'kernels/affine.h uses ops/ops.h: ops is above kernels',
      'nn/sd3/block.h uses nn/t5/encoder.h: sd3 and t5 are closed to one another',
      'nn/t5/encoder.h uses algorithms/eam.h: nn and algorithms are closed to one another',
    ]);
  });

  it('finds LibTorch in a kernel, and Node-API outside the addon', () => {
    const sources = files({
      'kernels/tile.cpp': '#include <c10/util/Half.h>\n#include <cstdint>\n',
      'ops/ops.cpp': '#include <ATen/ATen.h>\n#include "napi.h"\n',
      'addon/runtime/x.cpp': '#include <napi.h>\n',
    });
    expect(strangers(sources)).toEqual(['kernels/tile.cpp includes c10/util/Half.h', 'ops/ops.cpp includes napi.h']);
  });
});
