import { z } from 'zod';

/** Options of an algorithm beside those that its native side reads. */
export interface GuidedRolloutOptions {
  /**
   * True takes a `guidance` other than 1 where the loss is the conditional velocity's, that is without `guidedLoss`.
   * What such a training settles at is no tilt of the pretrained model: with EAM it drifts at λ = 0, and with C near ½
   * it runs away (docs/mathematics.md, "Guidance").
   * @defaultValue false
   */
  allowGuidedRollout?: boolean;
}

export const guidedRolloutShape = {
  allowGuidedRollout: z
    .boolean()
    .default(false)
    .describe("True takes a guidance other than 1 where the loss is the conditional velocity's."),
};

interface Settings extends GuidedRolloutOptions {
  guidance: number;
  guidedLoss?: boolean;
}

/** Refuses, as a zod refinement, a guided rollout whose loss is not the guided velocity's, unless it is allowed. */
export function refuseGuidedRollout(
  { guidance, guidedLoss, allowGuidedRollout }: Settings,
  context: z.core.$RefinementCtx,
): void {
  if (guidance === 1 || guidedLoss || allowGuidedRollout) return;
  const loss = guidedLoss === undefined ? '' : 'set guidedLoss to train the guided velocity, ';
  context.addIssue({
    code: 'custom',
    path: ['guidance'],
    message:
      "expected 1 in training, as the loss is the conditional velocity's, which under a guided rollout settles at no " +
      `tilt of the pretrained model; guide where images are drawn (samples, evaluation), ${loss}or set ` +
      'allowGuidedRollout: true',
  });
}
