// The addon's surface, one to one with native/addon, a file a subject. Everything that computes returns a Promise and
// runs, in order, on the addon's one executor thread; arguments that do not fit reject too, in functions that return no
// Promise they throw. Errors are instances of the classes given to `initialize`.

import type { AdapterBinding } from './binding/adapters.js';
import type { FidelityBinding } from './binding/fidelity.js';
import type { FileBinding } from './binding/files.js';
import type { ImageBinding } from './binding/images.js';
import type { KernelBinding } from './binding/kernels.js';
import type { MeasurementBinding } from './binding/measurements.js';
import type { NetworkBinding } from './binding/networks.js';
import type { ProcessBinding } from './binding/process.js';
import type { RecordingBinding } from './binding/recording.js';
import type { RewardBinding } from './binding/rewards.js';
import type { SolverBinding } from './binding/solver.js';
import type { TestingBinding } from './binding/testing.js';
import type { TrainingBinding } from './binding/training.js';
import type { TensorConstructor } from './tensor.js';

export type * from './binding/fidelity.js';
export type * from './binding/files.js';
export type * from './binding/kernels.js';
export type * from './networks.generated.js';
export type * from './binding/networks.js';
export type * from './binding/process.js';
export type * from './binding/recording.js';
export type * from './binding/rewards.js';
export type * from './binding/solver.js';
export type * from './binding/training.js';
export type { DType, Tensor as NativeTensor } from './tensor.js';

export interface Binding
  extends AdapterBinding,
    FidelityBinding,
    FileBinding,
    ImageBinding,
    KernelBinding,
    MeasurementBinding,
    NetworkBinding,
    ProcessBinding,
    RecordingBinding,
    RewardBinding,
    SolverBinding,
    TestingBinding,
    TrainingBinding {
  Tensor: TensorConstructor;
}
