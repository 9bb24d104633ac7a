/** The last table: what was aimed at, what was found. */

import { formatTable } from "../../../services/cli/format/table.ts";
import type { Colors } from "../../../services/cli/terminal.ts";
import { describeFigure, type Verdict } from "../targets.ts";

function word(met: boolean | null, colors: Colors): string {
	if (met === null) return "–";
	return met ? colors.green("met") : colors.red("not met");
}

export function verdictTable(verdicts: readonly Verdict[], colors: Colors): string {
	const columns = [
		{ heading: "TARGET" },
		{ heading: "WANTED" },
		{ heading: "FOUND", align: "right" as const },
		{ heading: "VERDICT" },
		{ heading: "" },
	];
	const lines = verdicts.map(({ target, wanted, figure, met, note }) => [
		...[target, wanted, figure === null ? "–" : describeFigure(figure)],
		...[word(met, colors), note ?? ""],
	]);
	return formatTable(columns, lines, colors);
}
