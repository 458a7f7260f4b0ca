import { gigabytes } from '../text.js';

/** Bytes from which on it takes so long that progress is told. */
const longFrom = 1e8;

/** Tells every twentieth of what is fetched, where it is much. */
export function percentNotes(report: (line: string) => void): (done: number, total: number) => void {
  let told = 0;
  return (done, total) => {
    const twentieth = Math.floor((20 * done) / total);
    if (twentieth <= told || done === total) return;
    told = twentieth;
    if (total >= longFrom) report(`${5 * twentieth} %, ${gigabytes(done)} of ${gigabytes(total)}`);
  };
}
