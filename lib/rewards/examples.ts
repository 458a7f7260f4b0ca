/** Rewards as a command line names them, for help and messages, which need not load what reads them. */
export const rewardExamples = ['pickscore=DIR', 'aesthetic=DIR,tower=CLIP'] as const;

/** The name of one that can be verified. */
export const verifiableExample = 'pickscore';
