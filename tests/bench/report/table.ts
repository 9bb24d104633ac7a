/** What people read at the end: a table for each case. */

import { formatTable } from "../../../services/cli/format/table.ts";
import type { Colors } from "../../../services/cli/terminal.ts";
import type { Row } from "../bench.ts";
import type { Case, Column } from "../cases/case.ts";

function cell(row: Row, { key, decimals = 0 }: Column): string {
	const figure = row.figures[key];
	if (figure === undefined) return "–";
	if (typeof figure === "string") return figure;
	return figure.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

export function caseTable(one: Case, rows: readonly Row[], colors: Colors): string {
	const own = rows.filter((row) => row.case === one.name);
	const columns = [
		{ heading: "VARIANT" },
		{ heading: "PEER" },
		...one.columns.map(({ heading }) => ({ heading, align: "right" as const })),
		{ heading: "" },
	];
	const lines = own.map((row, index) => [
		own[index - 1]?.variant === row.variant ? "" : row.variant,
		row.peer,
		...one.columns.map((column) => (row.skipped === undefined ? cell(row, column) : "–")),
		row.skipped === undefined ? "" : `skipped: ${row.skipped}`,
	]);
	return `${colors.bold(one.title)}\nOn the wire: ${one.traffic}.\n${formatTable(columns, lines, colors)}`;
}
