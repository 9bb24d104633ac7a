/** The closed set of ways in which a request can fail. */
export type ErrorCode =
	| "invalid"
	| "unauthenticated"
	| "forbidden"
	| "not_found"
	| "conflict"
	| "too_large"
	| "unavailable"
	| "timeout"
	| "internal";

const statusOfCode: Readonly<Record<ErrorCode, number>> = {
	invalid: 400,
	unauthenticated: 401,
	forbidden: 403,
	not_found: 404,
	conflict: 409,
	too_large: 413,
	internal: 500,
	unavailable: 503,
	timeout: 504,
};

const codeOfStatus: ReadonlyMap<number, ErrorCode> = new Map(
	Object.entries(statusOfCode).map(([code, status]) => [status, code as ErrorCode]),
);

export interface SluiceErrorOptions {
	/** What really happened; for the log, never for the requester. */
	readonly cause?: unknown;
	/** The revision that stands, for a `conflict`. */
	readonly revision?: bigint;
}

/** The one error that crosses edges: a closed code and a message of one line that is safe to show. */
export class SluiceError extends Error {
	readonly code: ErrorCode;
	readonly revision: bigint | undefined;

	constructor(code: ErrorCode, message: string, options: SluiceErrorOptions = {}) {
		super(oneLine(message), options.cause === undefined ? undefined : { cause: options.cause });
		this.name = "SluiceError";
		this.code = code;
		this.revision = options.revision;
	}
}

/** HTTP status and `Nats-Service-Error-Code` of a code; they are the same numbers. */
export function httpStatus(code: ErrorCode): number {
	return statusOfCode[code];
}

/** The code of a status; what is not ours counts as `internal`. */
export function errorCode(status: number): ErrorCode {
	return codeOfStatus.get(status) ?? "internal";
}

/**
 * What an edge answers for anything thrown: our own errors as they are, all others
 * as `internal` without their text, which may hold what the requester must not see.
 */
export function toSluiceError(thrown: unknown): SluiceError {
	if (thrown instanceof SluiceError) return thrown;
	return new SluiceError("internal", "internal error: the log of the service says more", { cause: thrown });
}

/** Text of anything thrown, for a log line. */
export function errorText(thrown: unknown): string {
	return oneLine(thrown instanceof Error ? thrown.message : String(thrown));
}

/** Headers and one-line errors must not be broken by a value somebody sent. */
function oneLine(text: string): string {
	// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
	return text.replace(/[\u0000-\u001f\u007f]+/g, " ").trim();
}
