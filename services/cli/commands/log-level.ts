import { toJsonText } from "@sluice/lib/json";
import {
	LogLevel_Level as Level,
	LogLevelRequestSchema,
	LogLevelResponseSchema,
} from "@sluice/proto/gen/log";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { badValue } from "../failure.ts";
import { formatLogLevels } from "../format/log-levels.ts";

export interface LogLevelOptions {
	service?: string;
	facility?: string;
}

const levels: ReadonlyMap<string, Level> = new Map([
	["trace", Level.TRACE],
	["debug", Level.DEBUG],
	["info", Level.INFO],
	["warn", Level.WARN],
	["error", Level.ERROR],
]);

/** Sets the level, or only shows what holds when none is given. */
export async function logLevel(
	{ flags, terminal }: Context,
	levelName: string | undefined,
	options: LogLevelOptions,
): Promise<void> {
	const level = levelName === undefined ? Level.UNSET : levels.get(levelName.toLowerCase());
	if (level === undefined) throw badValue(`level ${levelName}`, [...levels.keys()].join(", "));
	await withCluster({ flags, terminal }, async (cluster) => {
		const answer = await cluster.request(requests.logLevel, LogLevelRequestSchema, LogLevelResponseSchema, {
			service: options.service ?? "",
			facility: options.facility ?? "",
			level,
		});
		if (flags.json) await terminal.write(`${toJsonText(LogLevelResponseSchema, answer)}\n`);
		else await terminal.write(formatLogLevels(answer.settings, terminal.colors));
	});
}
