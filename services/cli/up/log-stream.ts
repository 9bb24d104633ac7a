import { humanLine, type LogRecord, parseRecord } from "./log-line.ts";

/** Everything this host's processes say, as one stream. */
export interface LogStream {
	/** A line as a service wrote it, which is a record already. */
	pass(line: string): void;
	record(record: LogRecord): void;
}

/** Beyond this, whoever reads our standard error does not keep up, and lines are dropped and counted. */
const UNREAD_LIMIT_BYTES = 8_000_000;
const SHOWN_LEVELS = new Set(["info", "warn", "error", "fatal"]);

/** JSON lines to standard error; text when that is a terminal. */
export function openLogStream(stderr: NodeJS.WriteStream): LogStream {
	// The reader may go at any time; the relay goes on.
	stderr.on("error", () => {});
	const human = stderr.isTTY === true;
	let dropped = 0;
	const write = (line: string) => {
		if (stderr.writableLength > UNREAD_LIMIT_BYTES) {
			dropped += 1;
			return;
		}
		if (dropped > 0) {
			stderr.write(
				`${JSON.stringify({ level: "warn", time: Date.now(), service: "up", facility: "log", dropped, msg: "log lines dropped: nobody read them" })}\n`,
			);
			dropped = 0;
		}
		stderr.write(`${line}\n`);
	};
	return {
		pass(line) {
			const parsed = human ? parseRecord(line) : undefined;
			write(parsed === undefined ? line : humanLine(parsed));
		},
		record(record) {
			if (!SHOWN_LEVELS.has(record.level)) return;
			write(human ? humanLine(record) : JSON.stringify(record));
		},
	};
}

/** The keeper's own voice in the stream. */
export interface KeeperLog {
	info(msg: string, fields?: Record<string, unknown>): void;
	warn(msg: string, fields?: Record<string, unknown>): void;
	error(msg: string, fields?: Record<string, unknown>): void;
}

export function keeperLog(stream: LogStream, host: string): KeeperLog {
	const say =
		(level: string) =>
		(msg: string, fields: Record<string, unknown> = {}) =>
			stream.record({ level, time: Date.now(), service: "up", host, facility: "keeper", ...fields, msg });
	return { info: say("info"), warn: say("warn"), error: say("error") };
}
