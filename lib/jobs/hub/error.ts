import { EamError } from '../../errors.js';

/** The hub could not be asked, refused, or sent something else than it announced. */
export class HubError extends EamError {
  constructor(
    message: string,
    options: ErrorOptions & {
      /** The status of HTTP, where there was an answer. */
      status?: number | undefined;
    } = {},
  ) {
    super('ERR_EAM_HUB', message, options);
    this.status = options.status;
  }
  /** The status of HTTP; undefined where there was no answer. */
  readonly status: number | undefined;
}
