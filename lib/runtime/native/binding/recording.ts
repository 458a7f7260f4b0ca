// Functions of tensors that JavaScript records and native code computes.

import type { DType, Tensor } from '../tensor.js';
import type { NativeFlowModel } from './networks.js';

/** A tensor of a function that is being recorded: with a shape, and without numbers. */
export interface RecordedTensor extends Tensor {
  /** Whether it depends on a trainable tensor of a model whose velocity is recorded. */
  readonly trained: boolean;
}

/** What a model's programs are recorded for. */
export type RecordedPart = 'velocity' | 'pretrainedVelocity' | 'images';

export interface RecordingBinding {
  /** Records an operator of the function that is being recorded; ConfigError where none is. */
  record(operator: string, operands: readonly unknown[]): Tensor;
  /** The operators that there are. */
  operatorNames(): string[];
  /**
   * A network whose programs `record` gives: it is called once for each part and each set of shapes, with x and t and
   * the conditioning, or the latents, and after them every frozen and every trainable tensor. It must not refer to the
   * network, which keeps it.
   */
  newRecordedModel(parts: {
    /** They are cast to `dtype` where they are of floating point. */
    frozen: Readonly<Record<string, Tensor>>;
    /** They are copied as float32. The pretrained velocity is that of their first values. */
    trainable: Readonly<Record<string, Tensor>>;
    device: string;
    dtype: DType;
    /** The variance of the elements of the latents at time 1. */
    latentVariance: number;
    record: (part: RecordedPart, values: RecordedTensor[]) => Tensor;
  }): {
    network: NativeFlowModel;
    /** The trainable tensors as they are at first; nothing changes them. */
    firstValues: Record<string, Tensor>;
  };
  /** Records `f` at once; then computes its value and, where wanted, the gradients of Σ upstream · value. */
  computeRecorded(
    f: (values: Tensor[]) => Tensor,
    inputs: readonly Tensor[],
    wantGradients: boolean,
    upstream: Tensor | undefined,
  ): Promise<{ value: Tensor; gradients: Tensor[] }>;
}
