/** What a terminal holds, in characters and lines. */
export interface Size {
	readonly columns: number;
	readonly rows: number;
}

/**
 * The beginning of a picture that is redrawn in place, as much as fits: a line more than the terminal
 * has would scroll its top away at every turn. Colours are kept and closed. Pure.
 */
export function crop(text: string, { columns, rows }: Size): string {
	const lines = text.replace(/\n$/, "").split("\n");
	// The cursor stands on a line of its own below.
	const room = Math.max(1, rows - 1);
	const kept = lines.length > room ? lines.slice(0, room - 1) : lines;
	const more = lines.length - kept.length;
	if (more > 0) kept.push(`… ${more} more lines: make the terminal taller, or name a rule`);
	return kept.map((line) => `${Bun.sliceAnsi(line, 0, columns)}\n`).join("");
}
