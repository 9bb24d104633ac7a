import { LogLevel_Level, type LogLevelSetting } from "@sluice/proto/gen/log";
import type { Colors } from "../terminal.ts";
import { formatTable } from "./table.ts";

/** The settings that differ from every service's own "info". */
export function formatLogLevels(settings: LogLevelSetting[], colors: Colors): string {
	if (settings.length === 0) return "every service logs at info\n";
	return formatTable(
		[{ heading: "SERVICE" }, { heading: "FACILITY" }, { heading: "LEVEL" }],
		settings.map((setting) => [
			setting.service || "every",
			setting.facility || "every",
			(LogLevel_Level[setting.level] ?? String(setting.level)).toLowerCase(),
		]),
		colors,
	);
}
