// For consumers whose `lib` has no Symbol.dispose.
/// <reference lib="esnext.disposable" preserve="true" />

/**
 * This is every export of the package.
 *
 * @module eam-torch
 * @group Reference
 */

import './runtime/dispose-symbols.js';

export {
  CheckpointError,
  ConfigError,
  DisposedError,
  EamError,
  NativeLoadError,
  NonFiniteError,
  StoppedError,
  OutOfMemoryError,
  ShapeError,
} from './errors.js';

export * from './runtime/kernels.js';
export { solverNames } from './runtime/native/choices.generated.js';
export * from './runtime/ode-solver.js';
export * from './runtime/native/tensor.js';
export { compute, gradients, type TensorFunction } from './runtime/compute.js';
export * as ops from './runtime/operators/index.js';
export { readTensors, saveTensors } from './files/safetensors.js';

export type { Algorithm, StoredEndpoints } from './training/algorithm.js';
export {
  adjointMatching,
  eam,
  type AdjointMatchingOptions,
  type AdjointMatchingSettings,
  type AlgorithmOptions,
  type AlgorithmSettings,
  type EamOptions,
  type EamSettings,
  type ModeOptions,
} from './training/algorithms.js';
export { alignProp, draft, refl } from './training/backpropagation.js';
export type { Checkpoint } from './files/checkpoints.js';
export type { Baseline, CurvePoint as ComparisonPoint, Cost, RunResult, SweepEntry } from './jobs/compare/results.js';
export type { Band, MeanCurve } from './jobs/compare/curves.js';
export type { AxisSpeedUp, SpeedUp, SpeedUpLevel } from './jobs/compare/speed-up.js';
export type { Summary } from './jobs/compare/statistics.js';
export type {
  AdamWOptions,
  AlignPropOptions,
  AlignPropSettings,
  BackpropagationOptions,
  DraftOptions,
  DraftSettings,
  ReflOptions,
  ReflSettings,
} from './runtime/native/options.generated.js';
export type { Filled } from './schema/filled.js';
export type { OptimizerOptions, OptimizerSettings } from './training/settings.js';
export { readPrompts } from './schema/prompts.js';
export { compare } from './jobs/compare/compare.js';
export type { CompareResult } from './jobs/compare/written.js';
export type { Comparison, ContenderResult } from './jobs/compare/comparison.js';
export {
  evaluateCheckpoints,
  type CheckpointTable,
  type EvaluateCheckpointsOptions,
} from './jobs/evaluate/table/table.js';
export type { PairedFigures, RewardFigures, TableRow } from './jobs/evaluate/table/figures.js';
export type { WhichCheckpoints } from './jobs/evaluate/table/find.js';
export { formatTable, type TableFormat } from './jobs/evaluate/table/format.js';
export type { TableSettings } from './jobs/evaluate/table/settings.js';
export { convert, type Converted } from './jobs/convert.js';
export {
  evaluate,
  type EvaluatedPairs,
  type Evaluation,
  type EvaluationOptions,
} from './training/evaluation.js';
export type { Measurement, SampleRewards } from './training/measured-model.js';
export { defineConfig, type JobConfigs } from './jobs/define-config.js';
export type { DiffMeasure, ImageChange } from './jobs/diff/change.js';
export { diff, type DiffOptions } from './jobs/diff/diff.js';
export type { Diff, PromptChange, SampleChange } from './jobs/diff/result.js';
export { distill, type DistillResult } from './jobs/distill/distill.js';
export type { JudgedModel, Likeness } from './jobs/distill/likeness.js';
export { fidelity, type FidelityOptions, type FidelitySamples } from './jobs/fidelity/fidelity.js';
export { readProblem, type Problem, type ProblemReward } from './jobs/fidelity/problem.js';
export type {
  CurvePoint,
  FidelityResult,
  FidelityRun,
  FidelitySummary,
  OracleRun,
  TrainingCost,
} from './jobs/fidelity/result.js';
export type { FidelitySettings } from './jobs/fidelity/settings.js';
export type { FidelityMeasurement, QuickMeasurement } from './jobs/fidelity/yardstick.js';
export { finetune, type FinetuneOptions } from './jobs/finetune/finetune.js';
export type { FinetuneResult } from './jobs/finetune/job.js';
export type { ServeOptions } from './jobs/serve/serve-options.js';
export { serve, type ServeFolderOptions } from './jobs/serve/serve.js';
export { mergeAdapter, type MergeResult } from './jobs/merge/merge.js';
export { exportAdapter } from './models/adapter-files.js';
export { HubError } from './jobs/hub/error.js';
export { fetchModel } from './jobs/hub/fetch.js';
export { pushAdapter, type Pushed, type PushOptions } from './jobs/hub/push.js';
export type { FileSelection } from './jobs/hub/selection.js';
export type { Fetched, FetchOptions } from './jobs/hub/transfer.js';
export type { HubOptions } from './jobs/hub/transport.js';
export type { AdapterConfig, AdapterLayoutName } from './models/adapters/layout.js';
export type {
  AdapterInfo,
  AdapterOptions,
  Drawing,
  ImageSize,
  LoadModelOptions,
  Model,
  ModelDType,
  PrepareOptions,
  SamplingDefaults,
} from './models/model.js';
export type { ModelContext, ModelDefinition } from './models/defined/definition.js';
export { defineModel } from './models/defined/model.js';
export type { ModelPart } from './models/model-kind.js';
export type { DescribedModel } from './models/kinds.js';
export { loadModel, type ModelSource } from './models/registry.js';
export type { ModuleModel } from './models/defined/settings.js';
export type { PretrainedVelocity, TorchScriptModel } from './models/torchscript/settings.js';
export type {
  NativeAlgorithm,
  NativeCancellation,
  NativeDrawn,
  NativeEndpoints,
  NativeFlowModel,
  NativeOptimizer,
  NativeRollout,
  NativeModeMetrics,
  NativeStepMetrics,
  NativeTensor,
} from './runtime/native/binding.js';
export type { EvaluationRange } from './jobs/plan/evaluations.js';
export type { ComponentFootprint } from './models/footprint.js';
export type { IterationOperations } from './jobs/plan/operations.js';
export type { RolloutPlan } from './jobs/plan/rollout.js';
export type { Phase } from './jobs/plan/phases.js';
export type { CardTime } from './jobs/plan/cards.js';
export type { DiskUse } from './jobs/plan/disk.js';
export { plan, type MemoryPlan, type PlanOptions, type Plan, type PlannedComponent } from './jobs/plan/plan.js';
export type {
  AlgorithmConfig,
  CheckpointsConfig,
  CompareConfig,
  DescribedModelConfig,
  DistillConfig,
  EvaluationConfig,
  FidelityConfig,
  FinetuneConfig,
  JudgeConfig,
  PretrainConfig,
  RewardConfig,
  SamplesConfig,
  TrainedAdapterConfig,
} from './jobs/settings/config.generated.js';
export type { Existing } from './jobs/existing-output.js';
export type { JobOptions } from './jobs/options.js';
export { pretrain, type PretrainResult } from './jobs/pretrain/pretrain.js';
export type { JobObserver } from './jobs/progress.js';
export type { Figure, ReproducedRow, Watched } from './jobs/reproduce/figures.js';
export type { CardHours, NeededFile, Needs } from './jobs/reproduce/needs.js';
export { reproduce, type ReproduceOptions } from './jobs/reproduce/reproduce.js';
export type { Deviation, RecipeEvaluation, Reproduction } from './jobs/reproduce/reproduction.js';
export type { WorkOptions } from './jobs/reproduce/work.js';
export { report, type ReportOptions } from './jobs/report/write-report.js';
export { combine } from './rewards/combine.js';
export {
  digitClassifier,
  digitJudge,
  type DigitClassifierOptions,
  type DigitRewardOptions,
} from './rewards/digit-classifier/digit-classifier.js';
export { fromFunction, type FunctionOptions, type FunctionScore, type ImageArray } from './rewards/from-function.js';
export { moduleReward, type RewardFunction } from './rewards/module.js';
export { aesthetic, type AestheticOptions } from './rewards/published/aesthetic.js';
export { clipScore } from './rewards/published/clip-score.js';
export { hpsv2, type HpsOptions } from './rewards/published/hps.js';
export { imageReward, type ImageRewardOptions } from './rewards/published/image-reward.js';
export { pickScore } from './rewards/published/pick-score.js';
export type {
  PublishedReward,
  PublishedRewardOptions,
  PublishedScore,
  PublishedScoreOptions,
} from './rewards/published/published-reward.js';
export { quadratic, type QuadraticOptions } from './rewards/quadratic.js';
export type {
  ArrayReward,
  ArrayScore,
  Judge,
  Reward,
  RewardScore,
  RewardValues,
  ScoreOptions,
} from './rewards/reward.js';
export { httpReward, type HttpRewardOptions } from './rewards/services/http.js';
export { openaiReward, type OpenaiRewardOptions } from './rewards/services/openai.js';
export type { Pacing } from './runtime/pacing.js';
export type {
  RequestQueue,
  ServiceReward,
  ServiceSurroundings,
  ServiceTally,
} from './rewards/services/service-reward.js';
export type { ServiceOptions } from './rewards/services/settings.js';
export { strokeWeight, type StrokeWeightOptions } from './rewards/stroke-weight.js';
export { torchScript, type TorchScriptOptions } from './rewards/torchscript.js';
export { encodeGrid, sampleBatches, sampleImages, type SampleBatch, type SampleOptions } from './training/sampler.js';
export type { Belonging, BelongsTo } from './training/belonging.js';
export type { Change } from './training/student.js';
export type { Spread } from './training/statistics.js';
export type { Evaluations, StepMetrics } from './training/metrics.js';
export type { StageSeconds } from './training/stage-clock.js';
export { Trainer, type PrepareRunOptions, type ResumeOptions } from './training/trainer.js';
export type { CheckpointOptions, TrainerOptions } from './training/trainer-options.js';
export type { Finding, GoldenComparison, NotChecked } from './models/verification/finding.js';
export { unpackModel, type Unpacked } from './jobs/unpack.js';
export { verify, type VerifyOptions } from './jobs/verify/verify.js';
