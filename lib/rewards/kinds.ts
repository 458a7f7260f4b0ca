import { digitClassifierKind, digitJudgeKind } from './digit-classifier/kind.js';
import { madeJudgeKind, madeRewardKind } from './made.js';
import { moduleKind } from './module.js';
import { aestheticKind } from './published/aesthetic.js';
import { clipScoreKind } from './published/clip-score.js';
import { hpsv2Kind } from './published/hps.js';
import { imageRewardKind } from './published/image-reward.js';
import { pickScoreKind } from './published/pick-score.js';
import { httpKind } from './services/http.js';
import { openaiKind } from './services/openai.js';
import { strokeWeightKind } from './stroke-weight.js';
import { torchScriptKind } from './torchscript.js';

/** Every kind of reward that a configuration can name. A new one is a file of its own and an entry here. */
export const rewardKinds = [
  digitClassifierKind,
  strokeWeightKind,
  torchScriptKind,
  pickScoreKind,
  clipScoreKind,
  hpsv2Kind,
  imageRewardKind,
  aestheticKind,
  moduleKind,
  httpKind,
  openaiKind,
  madeRewardKind,
] as const;

/** Every kind of judge. */
export const judgeKinds = [digitJudgeKind, madeJudgeKind] as const;
