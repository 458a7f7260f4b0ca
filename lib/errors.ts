import { types } from 'node:util';

/**
 * Every error the package throws on purpose: `code` is stable, `message` says what was found and what to do.
 * An unexpected failure inside LibTorch is a plain EamError with code ERR_EAM_NATIVE.
 */
export class EamError extends Error {
  /** What kind of error this is, `ERR_EAM_…`: the same from version to version, unlike the message. */
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }
}

/** The addon or LibTorch could not be loaded; the message lists every candidate and why it was rejected. */
export class NativeLoadError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_NATIVE_LOAD', message, options);
  }
}

/** A tensor has the wrong shape, dtype or device. */
export class ShapeError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_SHAPE', message, options);
  }
}

/** An option is outside its range or of the wrong type, or its key is not known. */
export class ConfigError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_CONFIG', message, options);
  }
}

/**
 * A file of weights, of a checkpoint or of a run that is missing, incomplete, damaged, of another model, or cannot be
 * written.
 */
export class CheckpointError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_CHECKPOINT', message, options);
  }
}

/** The device or the host has no room for an allocation. */
export class OutOfMemoryError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_OUT_OF_MEMORY', message, options);
  }
}

/** Too many rewards, gradients or losses were NaN or infinite, or every image that was drawn. */
export class NonFiniteError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_NON_FINITE', message, options);
  }
}

/** A run that ended because a limit of its `stopWhen` was crossed; it can be resumed with a looser one. */
export class StoppedError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_STOPPED', message, options);
  }
}

/** Use of a tensor or model after `dispose()`. */
export class DisposedError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_DISPOSED', message, options);
  }
}

/**
 * Whether a value is an error, of this realm or another: under Jest and in node:vm, what Node and native code throw is
 * no instance of the `Error` that is seen here.
 */
export function isError(value: unknown): value is Error {
  // Node 20 does not count its DOMException, such as an aborted signal's reason, among the native errors.
  return types.isNativeError(value) || value instanceof Error || tagOf(value) === '[object DOMException]';
}

const tagOf = (value: unknown): string => Object.prototype.toString.call(value);

/**
 * Keeps a failure that followed from `error` as `error.suppressed`, which Node prints with the error: a second failure
 * must not hide the first, nor be lost. What cannot carry it, such as a string, is followed by a
 * warning.
 */
export function suppress(error: unknown, failure: unknown): void {
  if (!isError(error) || !Object.isExtensible(error)) {
    process.emitWarning(isError(failure) ? failure : String(failure));
    return;
  }
  Object.assign(error, { suppressed: [...suppressedBy(error), failure] });
}

/** What `suppress` has kept on `error`. */
export function suppressedBy(error: unknown): readonly unknown[] {
  const { suppressed } = (error ?? {}) as { suppressed?: unknown };
  return Array.isArray(suppressed) ? suppressed : [];
}

/**
 * What the addon constructs its errors from. A cancelled job rejects with `cancelled`, turned by the caller into the
 * signal's reason.
 */
export interface ErrorClasses {
  base: typeof EamError;
  shape: typeof ShapeError;
  config: typeof ConfigError;
  checkpoint: typeof CheckpointError;
  outOfMemory: typeof OutOfMemoryError;
  nonFinite: typeof NonFiniteError;
  disposed: typeof DisposedError;
  cancelled: typeof CancelledError;
}

/** Internal: a job that stopped because its Cancellation was set. */
export class CancelledError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_CANCELLED', message, options);
  }
}
