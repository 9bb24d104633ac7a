import { type Colors, oneLine } from "../terminal.ts";

export interface Column {
	heading: string;
	/** Figures stand right. */
	align?: "left" | "right";
}

const GAP = "  ";

/** Aligned columns without borders, a heading in bold, no blanks at the ends of lines. Cells may be coloured. */
export function formatTable(columns: Column[], rows: string[][], colors: Colors): string {
	const widths = columns.map((column, index) =>
		rows.reduce((width, row) => Math.max(width, Bun.stringWidth(row[index] ?? "")), column.heading.length),
	);
	const formatLine = (cells: string[]) => {
		const padded = columns.map(({ align }, index) =>
			pad(oneLine(cells[index] ?? ""), widths[index] ?? 0, align),
		);
		return `${padded.join(GAP).trimEnd()}\n`;
	};
	const heading = formatLine(columns.map((column) => colors.bold(column.heading)));
	return heading + rows.map(formatLine).join("");
}

/** By the width that a terminal gives it: escape sequences have none. */
function pad(cell: string, width: number, align: Column["align"]): string {
	const blanks = " ".repeat(Math.max(0, width - Bun.stringWidth(cell)));
	return align === "right" ? blanks + cell : cell + blanks;
}
