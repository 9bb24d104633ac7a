export type Labels = Readonly<Record<string, string>>;

/** Of one host, and of those that one rule asks for. */
export const MAX_LABELS = 16;

const KEY = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/;
/** Printable, without what separates labels on the command line. */
const VALUE = /^[!-+\-.-<>-~]{0,63}$/;

/** What is wrong with labels, and what would be right; undefined: nothing. */
export function labelComplaint(labels: Labels): string | undefined {
	const pairs = Object.entries(labels);
	if (pairs.length > MAX_LABELS) return `${pairs.length} are too many: at most ${MAX_LABELS}`;
	for (const [key, value] of pairs) {
		if (!KEY.test(key)) {
			return `${quoted(key)} is not a key: use letters, digits and . _ / -, with a letter or digit first, at most 63`;
		}
		if (!VALUE.test(value)) {
			return `${key}: ${quoted(value)} is not a value: at most 63 printable characters, no space, comma or =`;
		}
	}
	return undefined;
}

/** Whether a host with these labels has all that are wanted. */
export function carries(labels: Labels, wanted: Labels): boolean {
	return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

/** No host carries both: they want another value of one key. */
export function excludeEachOther(a: Labels, b: Labels): boolean {
	return Object.entries(a).some(([key, value]) => Object.hasOwn(b, key) && b[key] !== value);
}

/** "role=edge,site=north", as the command line takes them; in order of their keys. */
export function formatLabels(labels: Labels): string {
	return sorted(labels)
		.map(([key, value]) => `${key}=${value}`)
		.join(",");
}

/** The same labels, always in the same order: messages with them are compared byte by byte. */
export function inOrder(labels: Labels): Record<string, string> {
	return Object.fromEntries(sorted(labels));
}

function sorted(labels: Labels): [string, string][] {
	return Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
}

function quoted(text: string): string {
	return JSON.stringify(text.length <= 80 ? text : `${text.slice(0, 79)}…`);
}
