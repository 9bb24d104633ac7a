/** One line of the merged log, as pino writes it. */
export interface LogRecord {
	readonly level: string;
	/** Unix milliseconds. */
	readonly time: number;
	readonly service: string;
	readonly facility: string;
	readonly msg: string;
	readonly [field: string]: unknown;
}

/** The record a service wrote, or undefined when the line is something else. */
export function parseRecord(line: string): LogRecord | undefined {
	if (!line.startsWith("{")) return undefined;
	try {
		const value = JSON.parse(line);
		return typeof value.level === "string" && typeof value.msg === "string" ? value : undefined;
	} catch {
		return undefined;
	}
}

/** Whatever a process writes that is no record: a runtime's crash report, a library's complaint. */
export function wrapLine(service: string, host: string, line: string, nowMs: number): LogRecord {
	return { level: "warn", time: nowMs, service, host, facility: "stderr", msg: line };
}

const natsLevels: Readonly<Record<string, string>> = {
	TRC: "trace",
	DBG: "trace",
	// Its start alone takes twenty lines: what matters of them, `up` says itself.
	INF: "debug",
	WRN: "warn",
	ERR: "error",
	FTL: "error",
};

/** A line of nats-server: "[pid] 2026/01/31 12:00:00.000000 [INF] text". */
export function parseNatsLine(host: string, line: string, nowMs: number): LogRecord {
	const [, tag = "", text = ""] = /^\[\d+\] \S+ \S+ \[([A-Z]{3})\] (.*)$/.exec(line) ?? [];
	const level = natsLevels[tag];
	if (level === undefined) return wrapLine("nats-server", host, line, nowMs);
	return { level, time: nowMs, service: "nats-server", host, facility: "server", msg: text.trim() };
}

const shown = new Set(["level", "time", "service", "host", "facility", "msg", "ready", "pid", "hostname"]);

/** A record for somebody at a terminal. */
export function humanLine(record: LogRecord): string {
	const time = new Date(record.time).toTimeString().slice(0, 8);
	const fields = Object.entries(record)
		.filter(([name]) => !shown.has(name))
		.map(([name, value]) => ` ${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
	const where = `${record.service}/${record.facility}`;
	return printable(
		`${time} ${record.level.toUpperCase().padEnd(5)} ${where}: ${record.msg}${fields.join("")}`,
	);
}

/** A log may quote what somebody sent; it must not steer the terminal of whoever reads it. */
function printable(text: string): string {
	return text.replace(/\p{Cc}/gu, "\u{fffd}");
}
