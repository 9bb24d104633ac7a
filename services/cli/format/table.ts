import Table from "cli-table3";
import type { Colors } from "../terminal.ts";

export interface Column {
	heading: string;
	/** Figures stand right. */
	align?: "left" | "right";
}

const noBorders = {
	top: "",
	"top-mid": "",
	"top-left": "",
	"top-right": "",
	bottom: "",
	"bottom-mid": "",
	"bottom-left": "",
	"bottom-right": "",
	left: "",
	"left-mid": "",
	mid: "",
	"mid-mid": "",
	right: "",
	"right-mid": "",
	middle: "  ",
};

/** Aligned columns without borders, a heading in bold, no blanks at the ends of lines. */
export function formatTable(columns: Column[], rows: string[][], colors: Colors): string {
	const table = new Table({
		chars: noBorders,
		style: { head: [], border: [], compact: true, "padding-left": 0, "padding-right": 0 },
		colAligns: columns.map((column) => column.align ?? "left"),
	});
	table.push(
		columns.map((column) => colors.bold(column.heading)),
		...rows,
	);
	const lines = table.toString().split("\n");
	return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}
