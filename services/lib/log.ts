import { LogLevel_Level, type LogLevelSetting, type LogLevels } from "@sluice/proto/gen/log";
import pino from "pino";
import type { LogLevelName } from "./config.ts";
import type { FacilityName } from "./facilities.ts";

export interface LoggerOptions {
	readonly service: string;
	readonly host?: string;
	/** In every line. */
	readonly fields?: Readonly<Record<string, unknown>>;
	/** What holds where no setting says otherwise. */
	readonly level?: LogLevelName;
	/** Where lines go; standard error unless a test listens. */
	readonly destination?: pino.DestinationStream;
}

export interface ServiceLogger {
	/** The logger of one part of the service; the same one for the same name. */
	facility(name: FacilityName): pino.Logger;
	/** Takes effect with the next line of every facility. */
	setLevels(levels: Pick<LogLevels, "settings">): void;
}

const nameOfLevel: Readonly<Record<LogLevel_Level, LogLevelName | undefined>> = {
	[LogLevel_Level.UNSET]: undefined,
	[LogLevel_Level.TRACE]: "trace",
	[LogLevel_Level.DEBUG]: "debug",
	[LogLevel_Level.INFO]: "info",
	[LogLevel_Level.WARN]: "warn",
	[LogLevel_Level.ERROR]: "error",
};

/** JSON lines {level, time (ms), service, host, facility, msg, …}. One per process. */
export function createLogger(options: LoggerOptions): ServiceLogger {
	const { service, host, fields, level: defaultLevel = "info" } = options;
	const root = pino(
		{
			level: defaultLevel,
			base: { service, ...(host === undefined ? {} : { host }), ...fields },
			formatters: { level: (label) => ({ level: label }) },
		},
		// Synchronous: the last lines before a crash are the ones that matter.
		options.destination ?? pino.destination({ fd: 2, sync: true }),
	);
	const facilities = new Map<string, pino.Logger>();
	let settings: readonly LogLevelSetting[] = [];
	return {
		facility(name) {
			const existing = facilities.get(name);
			if (existing !== undefined) return existing;
			const created = root.child(
				{ facility: name },
				{ level: levelOf(settings, service, name) ?? defaultLevel },
			);
			facilities.set(name, created);
			return created;
		},
		setLevels(levels) {
			settings = levels.settings;
			for (const [name, logger] of facilities) {
				logger.level = levelOf(settings, service, name) ?? defaultLevel;
			}
		},
	};
}

/** The level that holds for one facility: the most specific setting, a facility counting more than a service. */
export function levelOf(
	settings: readonly LogLevelSetting[],
	service: string,
	facility: string,
): LogLevelName | undefined {
	let best: LogLevelName | undefined;
	let bestRank = -1;
	for (const setting of settings) {
		if (setting.service !== "" && setting.service !== service) continue;
		if (setting.facility !== "" && setting.facility !== facility) continue;
		const rank = (setting.facility === "" ? 0 : 2) + (setting.service === "" ? 0 : 1);
		const level = nameOfLevel[setting.level];
		if (level !== undefined && rank > bestRank) {
			best = level;
			bestRank = rank;
		}
	}
	return best;
}
