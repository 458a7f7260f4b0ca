/** Seconds of a step by stage. The rest of the step encodes prompts and looks after files. */
export interface StageSeconds {
  /** Seconds in which samples were drawn, or taken from the pretrained model's endpoints. */
  rollout: number;
  /** Seconds in which the reward scored them. */
  reward: number;
  /** Seconds in which the loss and its gradient were computed. */
  matching: number;
  /** Seconds in which the optimizer moved the weights. */
  update: number;
}

/**
 * Times one step and its stages as the event loop sees them: a stage ends where its numbers are there. On a GPU, what a
 * stage has left to be done is charged to the one that waits for it.
 */
export class StageClock {
  readonly #start = performance.now();
  readonly #stages: StageSeconds = { rollout: 0, reward: 0, matching: 0, update: 0 };

  /** Charges `stage` with the time that `work` takes from now on, whether it fails or not. */
  async time<Result>(stage: keyof StageSeconds, work: Promise<Result>): Promise<Result> {
    const start = performance.now();
    try {
      return await work;
    } finally {
      this.#stages[stage] += secondsSince(start);
    }
  }

  /** Reads the seconds since the clock was made, and the stages' share of them. */
  read(): { seconds: number; stages: StageSeconds } {
    return { seconds: secondsSince(this.#start), stages: { ...this.#stages } };
  }
}

const secondsSince = (start: number): number => (performance.now() - start) / 1000;
