import { ConfigError } from '../../errors.js';
import type { TensorFileEntry } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor, TypedArray } from '../../runtime/native/tensor.js';
import { disposeAll, readHeader, readTensors } from '../../files/safetensors.js';
import { expected } from '../../schema/validate.js';

/** One prompt's tensors in memory, by name. */
type Row = Readonly<Record<string, TypedArray>>;

/** Numbers of a dtype that a tensor is made of. */
type Kind = Pick<TensorFileEntry, 'name' | 'dtype' | 'shape'>;

/** What a module is conditioned on: the tensors of a file a prompt. */
export class PromptTensors {
  readonly #rows = new Map<string, Promise<Row>>();

  private constructor(
    private readonly files: Readonly<Record<string, string>>,
    private readonly kinds: readonly Kind[],
    private readonly device: string,
  ) {}

  /**
   * Checks the headers of all files, which are read when their prompts are asked for.
   * @throws ConfigError for files that hold other tensors than the first, CheckpointError for one that cannot be read
   */
  static async open(files: Readonly<Record<string, string>>, device: string): Promise<PromptTensors> {
    return new PromptTensors(files, await checkConditioning(files), device);
  }

  /** The names of the tensors, in the order of {@link encode}. */
  get names(): string[] {
    return this.kinds.map(({ name }) => name);
  }

  /** @throws ConfigError for a prompt without a file */
  check(prompts: readonly string[]): void {
    checkPrompts(this.files, prompts);
  }

  /** A tensor for each name, whose first dimension is the batch. */
  async encode(prompts: readonly string[]): Promise<Tensor[]> {
    this.check(prompts);
    const rows = await Promise.all(prompts.map((prompt) => this.#row(prompt)));
    return this.kinds.map(({ name, dtype, shape }) => {
      const length = shape.reduce((product, size) => product * size, 1);
      const first = rows[0]![name]!;
      const all = new (first.constructor as new (length: number) => TypedArray)(length * rows.length);
      for (const [index, row] of rows.entries()) all.set(row[name]! as never, index * length);
      return binding().Tensor.from(all, [rows.length, ...shape], { dtype, device: this.device });
    });
  }

  #row(prompt: string): Promise<Row> {
    const known = this.#rows.get(prompt);
    if (known) return known;
    const row = this.#read(this.files[prompt]!);
    this.#rows.set(prompt, row);
    // A failure is not kept: whoever asks again reads the file again, which may have been mended.
    row.catch(() => this.#rows.delete(prompt));
    return row;
  }

  async #read(path: string): Promise<Row> {
    const tensors = await readTensors(path);
    try {
      refuseOtherTensors(path, Object.entries(tensors).map(kindOf), this.kinds);
      const rows = await Promise.all(
        Object.entries(tensors).map(async ([name, tensor]) => [name, (await tensor.data()).slice()] as const),
      );
      return Object.fromEntries(rows);
    } finally {
      disposeAll(tensors);
    }
  }
}

const kindOf = ([name, { dtype, shape }]: [string, Tensor]): Kind => ({ name, dtype, shape });

/** @throws ConfigError for a prompt that no file is named for */
export function checkPrompts(files: Readonly<Record<string, string>>, prompts: readonly string[]): void {
  const unknown = prompts.find((prompt) => !Object.hasOwn(files, prompt));
  if (unknown === undefined) return;
  if (unknown === '')
    throw new ConfigError(
      'conditioning: expected a file for "", no prompt, which guidance leads away from and pretraining drops labels ' +
        'to; add one, or draw at guidance 1 and pretrain with labelDropout 0',
    );
  const known = Object.keys(files).filter((prompt) => prompt !== '');
  const listed = known.slice(0, 8).map((prompt) => JSON.stringify(prompt));
  const more = known.length > listed.length ? ` and ${known.length - listed.length} more` : '';
  const wanted = `a prompt that conditioning names a file for, ${listed.join(', ')}${more}`;
  throw new ConfigError(expected('prompt', wanted, JSON.stringify(unknown)));
}

/**
 * Checks the files' headers against one another.
 * @returns what each of them holds, sorted by name
 * @throws ConfigError for none, or files that hold other tensors than the first; CheckpointError for one that cannot be
 * read
 */
export async function checkConditioning(files: Readonly<Record<string, string>>): Promise<Kind[]> {
  let kinds: Kind[] | undefined;
  for (const path of new Set(Object.values(files))) {
    const found = (await readHeader(path)).entries.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
    kinds ??= found.sort((a, b) => (a.name < b.name ? -1 : 1));
    refuseOtherTensors(path, found, kinds);
  }
  if (!kinds?.length) throw new ConfigError(expected('conditioning', 'a file a prompt that holds tensors', 'none'));
  return kinds;
}

function refuseOtherTensors(path: string, found: readonly Kind[], wanted: readonly Kind[]): void {
  const text = (kinds: readonly Kind[]) =>
    kinds
      .map(({ name, dtype, shape }) => `${name} ${dtype} [${shape.join(', ')}]`)
      .sort()
      .join(', ');
  if (text(found) === text(wanted)) return;
  throw new ConfigError(expected(path, `${text(wanted)}, as the first file of the conditioning holds`, text(found)));
}
