import { constants } from "node:os";

const CODES = new Map<number, string>(
	Object.entries(constants.errno).map(([code, number]) => [number, code]),
);
// Aliases share a number; these are the names that people look up.
CODES.set(constants.errno.EAGAIN, "EAGAIN");
CODES.set(constants.errno.EOPNOTSUPP, "EOPNOTSUPP");

/** The symbolic name of an errno, "ENODEV" for 19. */
export function errnoCode(errno: number): string {
	return CODES.get(errno) ?? `errno ${errno}`;
}

/** An operation of the data plane that the kernel or the library refused. */
export class DataplaneError extends Error {
	override readonly name = "DataplaneError";

	constructor(
		/** What was tried, in words: "open capture sockets". */
		readonly operation: string,
		/** Positive. */
		readonly errno: number,
		text: string,
	) {
		super(`${operation}: ${text} (${errnoCode(errno)})`);
	}

	/** "ENODEV", "ENOBUFS", … */
	get code(): string {
		return errnoCode(this.errno);
	}
}
