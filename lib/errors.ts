// Every error that Kullback throws. `code` is stable; the message names the argument, what it was, and what it must be.

/** The base of all errors that Kullback throws. */
export class KullbackError extends Error {
  /** Stable and meant for programs: `ERR_KULLBACK_...`. */
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A shape or a length that does not fit: `ERR_KULLBACK_SHAPE`. */
export class ShapeError extends KullbackError {
  constructor(message: string) {
    super("ERR_KULLBACK_SHAPE", message);
  }
}

/** An element type that an operation cannot take, or that differs from another's: `ERR_KULLBACK_DTYPE`. */
export class DtypeError extends KullbackError {
  constructor(message: string) {
    super("ERR_KULLBACK_DTYPE", message);
  }
}

/** An option that is unknown, or whose value is not one of its valid values: `ERR_KULLBACK_OPTION`. */
export class OptionError extends KullbackError {
  constructor(message: string) {
    super("ERR_KULLBACK_OPTION", message);
  }
}

/** What CUDA, or the driver, says went wrong, by its name and number: `ERR_KULLBACK_CUDA`. */
export class CudaError extends KullbackError {
  constructor(message: string) {
    super("ERR_KULLBACK_CUDA", message);
  }
}

/** A use of a DeviceArray after `dispose()`: `ERR_KULLBACK_DISPOSED`. */
export class DisposedError extends KullbackError {
  constructor(message: string) {
    super("ERR_KULLBACK_DISPOSED", message);
  }
}

/** One backend that was tried, and why it cannot run. */
export interface BackendAttempt {
  backend: string;
  reason: string;
}

/** No backend that was allowed can run the operation: `ERR_KULLBACK_BACKEND_UNAVAILABLE`. */
export class BackendUnavailableError extends KullbackError {
  /** What was tried, in order. */
  readonly attempts: readonly BackendAttempt[];

  constructor(message: string, attempts: readonly BackendAttempt[]) {
    super(
      "ERR_KULLBACK_BACKEND_UNAVAILABLE",
      [message, ...attempts.map(({ backend, reason }) => `  ${backend}: ${reason}`)].join("\n"),
    );
    this.attempts = attempts;
  }
}
