import { SluiceError } from "@sluice/lib/errors";

/**
 * What If-Match and If-None-Match say about a write. `If-Match: *` asks only that
 * there is something, whose revision `current` tells or throws `not_found`.
 */
export async function expectedRevision(
	request: Request,
	current: () => Promise<bigint>,
): Promise<{ expectedRevision?: bigint }> {
	const match = request.headers.get("if-match");
	const noneMatch = request.headers.get("if-none-match");
	if (match !== null && noneMatch !== null) {
		throw new SluiceError("invalid", "If-Match and If-None-Match exclude each other: send one");
	}
	if (noneMatch !== null) {
		if (noneMatch.trim() !== "*") {
			throw new SluiceError(
				"invalid",
				`If-None-Match: ${JSON.stringify(noneMatch)} is not *: only that is possible in a write`,
			);
		}
		return { expectedRevision: 0n };
	}
	if (match === null) return {};
	if (match.trim() === "*") return { expectedRevision: await current() };
	const tag = /^"([0-9]{1,19})"$/.exec(match.trim());
	if (tag === null) {
		throw new SluiceError(
			"invalid",
			`If-Match: ${JSON.stringify(match)} is not one revision in quotes, as ETag gave it`,
		);
	}
	return { expectedRevision: BigInt(tag[1] ?? "0") };
}

/** A reader who has this very revision needs no body. */
export function isNotModified(request: Request, etag: string): boolean {
	const noneMatch = request.headers.get("if-none-match");
	if (noneMatch === null) return false;
	return noneMatch.split(",").some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//, "") === etag);
}
