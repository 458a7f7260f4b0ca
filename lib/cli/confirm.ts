import { createInterface } from 'node:readline/promises';

/** What asks a person on the terminal a question of yes and no; undefined where nobody can be asked. */
export const confirmer = (signal: AbortSignal): ((question: string) => Promise<boolean>) | undefined =>
  process.stdin.isTTY ? (question) => confirmed(question, signal) : undefined;

async function confirmed(question: string, signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `, { signal })).trim());
  } finally {
    terminal.close();
  }
}
