/** A sample, and the value that it is ranked by. */
export interface Ranked {
  sample: number;
  value: number;
}

/** The few samples that lead by a value, of as many as come; of equal ones the earlier leads. */
export class Ranking {
  readonly #leading: Ranked[] = [];

  /** @param lowest whether the lowest values lead, not the highest */
  constructor(
    private readonly limit: number,
    private readonly lowest = false,
  ) {}

  /** Ranks a sample; one whose value is not finite has no rank. @returns whether it is among those that lead */
  offer(sample: number, value: number): boolean {
    if (!Number.isFinite(value)) return false;
    const leads = ({ value: other }: Ranked) => (this.lowest ? value < other : value > other);
    const place = this.#leading.findIndex(leads);
    const at = place < 0 ? this.#leading.length : place;
    if (at >= this.limit) return false;
    this.#leading.splice(at, 0, { sample, value });
    this.#leading.length = Math.min(this.#leading.length, this.limit);
    return true;
  }

  /** The first comes first. */
  get leading(): readonly Ranked[] {
    return this.#leading;
  }

  /** The numbers of the samples that lead. */
  get samples(): number[] {
    return this.#leading.map(({ sample }) => sample);
  }
}
