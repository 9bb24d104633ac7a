import { type Colors, oneLine } from "../terminal.ts";
import { fitColumns, GAP_WIDTH, leastWidth, type Part, wrap } from "./fit.ts";

export interface Column {
	heading: string;
	/** Figures stand right. */
	align?: "left" | "right";
	/** Where the terminal is too narrow, cells take several lines. */
	wraps?: boolean;
}

const GAP = " ".repeat(GAP_WIDTH);

/**
 * Aligned columns without borders, a heading in bold, no blanks at the ends of lines. Cells may be coloured, word by word.
 * @param limit characters a line holds; what is too wide is wrapped, and what is still too wide goes into a second table
 * under the first. Undefined: no limit.
 */
export function formatTable(columns: Column[], rows: string[][], colors: Colors, limit?: number): string {
	const cells = rows.map((row) => columns.map((_, index) => oneLine(row[index] ?? "")));
	const widest = columns.map(({ heading }, index) =>
		cells.reduce((width, row) => Math.max(width, Bun.stringWidth(row[index] ?? "")), heading.length),
	);
	if (!limit)
		return formatPart(
			columns,
			cells,
			widest.map((width, index) => ({ index, width })),
			colors,
		);
	const least = columns.map(({ heading, wraps }, index) =>
		wraps === true
			? cells.reduce((width, row) => Math.max(width, leastWidth(row[index] ?? "")), heading.length)
			: (widest[index] ?? 0),
	);
	return fitColumns(widest, least, limit)
		.map((part) => formatPart(columns, cells, part, colors))
		.join("\n");
}

function formatPart(columns: Column[], rows: string[][], part: Part, colors: Colors): string {
	const formatLine = (cells: string[]) => {
		const padded = part.map(({ index, width }, place) =>
			pad(cells[place] ?? "", width, columns[index]?.align),
		);
		return `${padded.join(GAP).trimEnd()}\n`;
	};
	const formatRow = (row: string[]) => {
		const wrapped = part.map(({ index, width }) => wrap(row[index] ?? "", width));
		const lines = Math.max(...wrapped.map(({ length }) => length));
		return Array.from({ length: lines }, (_, line) =>
			formatLine(wrapped.map((cell) => cell[line] ?? "")),
		).join("");
	};
	const heading = formatLine(part.map(({ index }) => colors.bold(columns[index]?.heading ?? "")));
	return heading + rows.map(formatRow).join("");
}

/** By the width that a terminal gives it: escape sequences have none. */
function pad(cell: string, width: number, align: Column["align"]): string {
	const blanks = " ".repeat(Math.max(0, width - Bun.stringWidth(cell)));
	return align === "right" ? blanks + cell : cell + blanks;
}
