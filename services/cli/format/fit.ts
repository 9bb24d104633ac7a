/** Blanks between two columns. */
export const GAP_WIDTH = 2;

/** Columns that stand beside each other, each with its width. */
export type Part = readonly { readonly index: number; readonly width: number }[];

/**
 * Spreads columns over as few tables as fit, the first one leading each: all in one if they can be narrow enough. In
 * each the widest give way first. Pure.
 * @param least what a column needs where its cells are broken.
 */
export function fitColumns(widest: readonly number[], least: readonly number[], limit: number): Part[] {
	const parts: number[][] = [];
	let current = [0];
	for (let index = 1; index < widest.length; index += 1) {
		const width = widthOf([...current, index].map((each) => least[each] ?? 0));
		if (width > limit && current.length > 1) {
			parts.push(current);
			current = [0];
		}
		current.push(index);
	}
	parts.push(current);
	return parts.map((part) => narrowed(part, widest, least, limit));
}

function narrowed(
	part: readonly number[],
	widest: readonly number[],
	least: readonly number[],
	limit: number,
): Part {
	const columns = part.map((index) => ({ index, width: widest[index] ?? 0 }));
	for (let over = widthOf(columns.map(({ width }) => width)) - limit; over > 0; over -= 1) {
		const yielding = columns.filter(({ index, width }) => width > (least[index] ?? 0));
		const [first, ...others] = yielding;
		if (first === undefined) break;
		others.reduce((most, each) => (each.width > most.width ? each : most), first).width -= 1;
	}
	return columns;
}

function widthOf(widths: readonly number[]): number {
	return widths.reduce((sum, width) => sum + width, GAP_WIDTH * (widths.length - 1));
}

/** After a blank or a comma. */
function pieces(cell: string): string[] {
	return cell.split(/(?<=,)(?! )|(?<= )/);
}

/** Of the longest word, which is not broken: addresses are copied. */
export function leastWidth(cell: string): number {
	return pieces(cell).reduce((width, piece) => Math.max(width, Bun.stringWidth(piece.trimEnd())), 0);
}

/** The cell in lines of this width. */
export function wrap(cell: string, width: number): string[] {
	if (Bun.stringWidth(cell) <= width) return [cell];
	const lines: string[] = [];
	let line = "";
	for (const piece of pieces(cell)) {
		if (line !== "" && Bun.stringWidth((line + piece).trimEnd()) > width) {
			lines.push(line.trimEnd());
			line = "";
		}
		line += piece;
	}
	return [...lines, line.trimEnd()];
}
