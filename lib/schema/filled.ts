/** Options after their defaults were filled in: none is left out. */
export type Filled<Options> = { [Name in keyof Options]-?: Exclude<Options[Name], undefined> };
