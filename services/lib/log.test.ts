import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { LogLevel_Level, LogLevelSettingSchema } from "@sluice/proto/gen/log";
import { createLogger, levelOf } from "./log.ts";

const { DEBUG, ERROR, INFO, TRACE, UNSET, WARN } = LogLevel_Level;
const setting = (service: string, facility: string, level: LogLevel_Level) =>
	create(LogLevelSettingSchema, { service, facility, level });

function collecting() {
	const lines: Record<string, unknown>[] = [];
	return { lines, destination: { write: (text: string) => void lines.push(JSON.parse(text)) } };
}

test("a line has level, time in ms, service, host, facility and message", () => {
	const { lines, destination } = collecting();
	const logger = createLogger({ service: "supervisor", host: "relay-a", destination });
	logger.facility("capture").info({ core: 3 }, "hello");
	const [line] = lines;
	expect(line).toMatchObject({
		level: "info",
		service: "supervisor",
		host: "relay-a",
		facility: "capture",
		core: 3,
		msg: "hello",
	});
	expect(Math.abs(Number(line?.["time"]) - Date.now())).toBeLessThan(5_000);
	expect(Object.keys(line ?? {})).not.toContain("pid");
});

test("the most specific setting wins; a facility counts more than a service", () => {
	const settings = [
		setting("", "", WARN),
		setting("a", "", INFO),
		setting("", "rx", DEBUG),
		setting("a", "rx", TRACE),
	];
	expect(levelOf(settings, "a", "rx")).toBe("trace");
	expect(levelOf(settings, "b", "rx")).toBe("debug");
	expect(levelOf(settings, "a", "tx")).toBe("info");
	expect(levelOf(settings, "b", "tx")).toBe("warn");
	expect(levelOf([], "a", "rx")).toBeUndefined();
	expect(levelOf([setting("", "", UNSET)], "a", "rx")).toBeUndefined();
});

test("a new level shows in the next line of loggers that exist and of those to come", () => {
	const { lines, destination } = collecting();
	const logger = createLogger({ service: "a", destination });
	const rx = logger.facility("capture");
	const tx = logger.facility("egress");
	rx.debug("unseen");
	logger.setLevels({ settings: [setting("", "capture", DEBUG), setting("", "table", ERROR)] });
	rx.debug("seen");
	tx.debug("unseen");
	logger.facility("table").warn("unseen");
	logger.setLevels({ settings: [] });
	rx.debug("unseen");
	logger.facility("table").warn("seen too");
	expect(lines.map((line) => line["msg"])).toEqual(["seen", "seen too"]);
	expect(logger.facility("capture")).toBe(rx);
});
