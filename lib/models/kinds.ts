import { moduleKind } from './defined/kind.js';
import { digitsKind } from './digits/kind.js';
import { flux2Kind } from './flux2/kind.js';
import type { ModelKind } from './model-kind.js';
import { sd3Kind } from './sd3/kind.js';

/** Every kind of model. A new one is a folder of its own and an entry here. */
export const modelKinds: readonly ModelKind[] = [digitsKind, sd3Kind, flux2Kind, moduleKind];
