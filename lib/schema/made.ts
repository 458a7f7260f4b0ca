/** Something that a program made, in a configuration. The record of a run leaves it out: JSON cannot hold it. */
export class Made<Thing> {
  constructor(readonly thing: Thing) {}

  toJSON(): undefined {
    return undefined;
  }
}

/** The mistake of a configuration that lacks what a program made, as the record of its run does. */
export const lacksMade = (what: string) => ({
  message:
    `expected the ${what} that a program made, got none, since no file can hold it: go on with the program, or the ` +
    'configuration in TypeScript, that made it',
  params: { complete: true },
});
