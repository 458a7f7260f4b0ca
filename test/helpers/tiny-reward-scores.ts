// Goldens and scores of the native networks of the tiny published rewards.
import type { NativeImageReward } from '../../lib/runtime/native/binding.js';
import { readTensors } from '../../lib/files/safetensors.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';
import { rewardFile, type TinyReward } from './published-rewards.js';

export const goldensOf = (name: TinyReward) => readTensors(rewardFile(`${name}/goldens.safetensors`));
export type Goldens = Awaited<ReturnType<typeof goldensOf>>;

export const score = (reward: NativeImageReward, images: Tensor, { ids, mask }: Goldens, grad = true, slice = 0) =>
  reward.score(images, ids, mask, { grad, features: false }, slice);
