import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { httpStatus, type SluiceError } from "@sluice/lib/errors";
import { toJsonText } from "@sluice/lib/json";

const COMMON_HEADERS: Readonly<Record<string, string>> = {
	"cache-control": "no-store",
	"x-content-type-options": "nosniff",
};

export function respondText(
	status: number,
	type: string,
	body: string,
	more: Record<string, string> = {},
): Response {
	return new Response(body, { status, headers: { ...COMMON_HEADERS, "content-type": type, ...more } });
}

export function respondMessage<Schema extends DescMessage>(
	schema: Schema,
	message: MessageShape<Schema>,
	more: Record<string, string> = {},
): Response {
	return respondText(200, "application/json", toJsonText(schema, message), more);
}

export function respondError(error: SluiceError): Response {
	const status = httpStatus(error.code);
	const more: Record<string, string> = {};
	if (error.code === "unauthenticated") more["www-authenticate"] = "Bearer";
	if (error.code === "unavailable") more["retry-after"] = "1";
	return errorResponse(status, error.code, error.message, more, error.revision);
}

export function respondMethodNotAllowed(method: string, allowed: readonly string[]): Response {
	const allow = allowed.join(", ");
	return errorResponse(405, "method_not_allowed", `${method} is not possible here: use ${allow}`, { allow });
}

function errorResponse(
	status: number,
	code: string,
	message: string,
	more: Record<string, string>,
	revision?: bigint,
): Response {
	const error = { code, message, status, ...(revision === undefined ? {} : { revision: String(revision) }) };
	return respondText(status, "application/json", `${JSON.stringify({ error })}\n`, more);
}

/** The revision as an entity tag. */
export function entityTag(revision: bigint): string {
	return `"${revision}"`;
}
