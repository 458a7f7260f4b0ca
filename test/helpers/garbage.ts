// The garbage collector, for tests about who keeps what alive.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Collects until `done`, at most for minutes; whether it came to that. */
export async function collectedUntil(done: () => boolean): Promise<boolean> {
  for (let round = 0; round < 10_000 && !done(); ++round) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return done();
}

/** Collects a few times, so that what can go has gone. */
export async function collectAll(): Promise<void> {
  let rounds = 0;
  await collectedUntil(() => ++rounds > 5);
}
