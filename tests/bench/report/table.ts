/** What people read at the end: a table for each case. */

import { formatTable } from "../../../services/cli/format/table.ts";
import type { Colors } from "../../../services/cli/terminal.ts";
import type { Row } from "../bench.ts";
import type { Case, Column } from "../cases/case.ts";

/** What the others are told in terms of. */
const YARDSTICK = "socat";

function cell(row: Row, { key, decimals = 0 }: Column): string {
	const figure = row.figures[key];
	if (figure === undefined) return "–";
	if (typeof figure === "string") return figure;
	return figure.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** The figure that counts, as a multiple of the yardstick's in the same variant. */
function multiple(row: Row, key: string, rows: readonly Row[]): string {
	const yardstick = rows.find(({ peer, variant }) => peer === YARDSTICK && variant === row.variant);
	const [figure, of] = [row.figures[key], yardstick?.figures[key]];
	if (typeof figure !== "number" || typeof of !== "number" || of === 0) return "–";
	return (figure / of).toFixed(2);
}

export function caseTable(one: Case, rows: readonly Row[], colors: Colors): string {
	const own = rows.filter((row) => row.case === one.name);
	const right = { align: "right" as const };
	const compared = own.some(({ peer, skipped }) => peer === YARDSTICK && skipped === undefined);
	const columns = [
		{ heading: "VARIANT" },
		{ heading: "PEER" },
		...one.columns.map(({ heading }) => ({ heading, ...right })),
		...(compared ? [{ heading: `${one.plot.axis} × ${YARDSTICK}'s`, ...right }] : []),
		{ heading: "" },
	];
	const lines = own.map((row, index) => [
		own[index - 1]?.variant === row.variant ? "" : row.variant,
		row.peer,
		...one.columns.map((column) => cell(row, column)),
		...(compared ? [multiple(row, one.plot.key, own)] : []),
		row.skipped === undefined ? "" : `skipped: ${row.skipped}`,
	]);
	return `${colors.bold(one.title)}\nOn the wire: ${one.traffic}.\n${formatTable(columns, lines, colors)}`;
}
