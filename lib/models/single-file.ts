/** A layer of a network as a published single file has it: under another name, or with others in one matrix. */
export interface SingleFileLayer {
  /** The layer's name in the single file, behind the prefix of its network. */
  readonly single: string;
  /** The layers of the network whose rows stand there, one below the other. */
  readonly own: readonly string[];
  /** Whether the two halves of the rows, a shift and a scale, stand there the other way round. */
  readonly swapped?: boolean;
  /** Whether the matrix stands there as the kernel of a convolution of one pixel, [out, in, 1, 1]. */
  readonly pointwise?: boolean;
  /** What follows the layer's name in the names of its tensors; without it, `.weight` and `.bias`. */
  readonly tensors?: readonly string[];
}

/** A network that a published single file holds. */
export interface SingleFileNetwork {
  /** The folder in which a directory in diffusers' layout keeps its weights. */
  readonly folder: string;
  /** What the names of its tensors begin with in the single file. */
  readonly prefix: string;
  /**
   * The layers of a network, those that only some of its kind have among them.
   * @param names names of tensors or layers of it, in the single file or in the folder, which tell how many blocks it
   *   has; a dot in them may be an underscore
   */
  layersOf(names: readonly string[]): SingleFileLayer[];
}
