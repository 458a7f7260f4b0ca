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
  readonly status: number | undefined;
}
