// For consumers whose `lib` has no Symbol.dispose.
/// <reference lib="esnext.disposable" preserve="true" />

export {
  CheckpointError,
  ConfigError,
  DisposedError,
  EamError,
  NativeLoadError,
  NonFiniteError,
  OutOfMemoryError,
  ShapeError,
} from './errors.js';

export * from './kernels.js';
export * from './ode-solver.js';
export * from './tensor.js';

export {
  adjointMatching, eam, type AdjointMatchingOptions, type AdjointMatchingSettings, type Algorithm, type AlgorithmOptions, type AlgorithmSettings,
  type EamOptions, type EamSettings,
} from './algorithms.js';
export type { Checkpoint } from './checkpoints.js';
export type { Baseline, CurvePoint as ComparisonPoint, Cost, RunResult, SweepEntry } from './compare/results.js';
export type { AxisSpeedUp, Band, MeanCurve, SpeedUp, SpeedUpLevel, Summary } from './compare/statistics.js';
export type { Filled, OptimizerOptions, OptimizerSettings } from './config/common.js';
export { readPrompts } from './config/prompts.js';
export { compare, type Comparison, type CompareResult, type ContenderResult } from './compare.js';
export { convert, type Converted } from './convert.js';
export { evaluate, type Evaluation, type EvaluationOptions, type Measurement } from './evaluation.js';
export {
  fidelity, type CurvePoint, type FidelityOptions, type FidelityResult, type FidelityRun, type FidelitySummary, type TrainingCost,
} from './fidelity.js';
export { readProblem, type Problem, type ProblemReward } from './fidelity/problem.js';
export type { FidelitySettings } from './fidelity/settings.js';
export type { FidelityMeasurement, QuickMeasurement } from './fidelity/yardstick.js';
export { finetune, type FinetuneResult } from './finetune.js';
export { mergeAdapter, type MergeResult } from './merge.js';
export { exportAdapter } from './models/adapter.js';
export type { AdapterConfig, AdapterLayoutName } from './models/adapter-layout.js';
export type { AdapterInfo, AdapterOptions, Drawing, ImageSize, LoadModelOptions, Model, ModelDType, PrepareOptions, SamplingDefaults } from './models/model.js';
export { loadModel } from './models/registry.js';
export type {
  NativeAlgorithm,
  NativeCancellation,
  NativeFlowModel,
  NativeOptimizer,
  NativeRollout,
  NativeStepMetrics,
  NativeTensor,
} from './native/binding.js';
export type { EvaluationRange } from './plan/evaluations.js';
export type { ComponentFootprint } from './plan/footprint.js';
export type { IterationOperations } from './plan/operations.js';
export type { Phase } from './plan/phases.js';
export { plan, type MemoryPlan, type Plan, type PlannedComponent } from './plan/plan.js';
export { pretrain, type JobOptions, type PretrainResult } from './pretrain.js';
export type { JobObserver } from './progress.js';
export { combine } from './rewards/combine.js';
export { digitClassifier, digitJudge, type DigitClassifierOptions } from './rewards/digit-classifier.js';
export { fromFunction, type FunctionScore, type ImageArray } from './rewards/from-function.js';
export { moduleReward, type RewardFunction } from './rewards/module.js';
export { aesthetic, type AestheticOptions } from './rewards/published/aesthetic.js';
export { clipScore } from './rewards/published/clip-score.js';
export { hpsv2, type HpsOptions } from './rewards/published/hps.js';
export { imageReward, type ImageRewardOptions } from './rewards/published/image-reward.js';
export { pickScore } from './rewards/published/pick-score.js';
export type { PublishedReward, PublishedRewardOptions, PublishedScore, PublishedScoreOptions } from './rewards/published/published-reward.js';
export { quadratic, type QuadraticOptions } from './rewards/quadratic.js';
export type { ArrayReward, ArrayScore, Judge, Reward, RewardScore, RewardValues, ScoreOptions } from './rewards/reward.js';
export { strokeWeight, type StrokeWeightOptions } from './rewards/stroke-weight.js';
export { torchScript, type TorchScriptOptions } from './rewards/torchscript.js';
export { encodeGrid, sampleBatches, sampleImages, type SampleBatch, type SampleOptions } from './sampler.js';
export type { Spread } from './statistics.js';
export { Trainer, type CheckpointOptions, type Evaluations, type StepMetrics, type TrainerOptions } from './trainer.js';
export type { GoldenComparison, Finding, NotChecked } from './verify/verification.js';
export { verify, type VerifyOptions } from './verify/verify.js';
