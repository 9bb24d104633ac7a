/** A string, a comment, punctuation, or a bare word (a number, a literal, a key of JSON5). */
const TOKEN =
	/"(?:[^"\\]|\\[\s\S])*"|'(?:[^'\\]|\\[\s\S])*'|\/\/.*|\/\*[\s\S]*?\*\/|[{}[\],:]|[^\s"'{}[\],:/]+/g;

/**
 * Finds a key that one object has twice, of which parsers silently keep the last.
 *
 * @param parsed what the text is as JSON or JSON5.
 * @returns "line 3: name", or undefined.
 */
export function findDuplicateKey(text: string, parsed: unknown): string | undefined {
	// Each key has a colon: mostly there is no other, and none too many.
	if (countColons(text) === countKeys(parsed)) return undefined;
	// One for each open object or array; an array has no keys.
	const open: (Set<string> | undefined)[] = [];
	let last = "";
	for (const { 0: token, index } of text.matchAll(TOKEN)) {
		if (token.startsWith("/")) continue;
		if (token === "{") open.push(new Set());
		else if (token === "[") open.push(undefined);
		else if (token === "}" || token === "]") open.pop();
		else if (token === ":") {
			const key = keyText(last);
			const keys = open.at(-1);
			if (keys?.has(key)) return `line ${text.slice(0, index).split("\n").length}: ${shown(key)}`;
			keys?.add(key);
		}
		last = token;
	}
	return undefined;
}

function countColons(text: string): number {
	let count = 0;
	for (let at = text.indexOf(":"); at >= 0; at = text.indexOf(":", at + 1)) count += 1;
	return count;
}

function countKeys(parsed: unknown): number {
	let count = 0;
	const left = [parsed];
	while (left.length > 0) {
		const value = left.pop();
		if (typeof value !== "object" || value === null) continue;
		const members: unknown[] = Object.values(value);
		if (!Array.isArray(value)) count += members.length;
		for (const member of members) if (typeof member === "object") left.push(member);
	}
	return count;
}

/** Quotes and escapes hide nothing: "a", a and "\u0061" are one key. */
function keyText(token: string): string {
	const inner = token.startsWith('"') || token.startsWith("'") ? token.slice(1, -1) : token;
	if (!inner.includes("\\")) return inner;
	return inner.replace(
		/\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|\r\n|([\s\S]))/g,
		(_, four?: string, two?: string, one?: string) =>
			four || two
				? String.fromCharCode(Number.parseInt(four ?? two ?? "", 16))
				: (one ?? "").replace("\n", ""),
	);
}

function shown(key: string): string {
	return key.length <= 80 ? key : `${key.slice(0, 79)}…`;
}
