import { afterAll, beforeAll, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { LogLevel_Level, LogLevelRequestSchema } from "@sluice/proto/gen/log";
import type { RunningControlApi } from "../control-api.ts";
import { TestCluster } from "../testing/cluster.ts";
import { withSetting } from "./log-level-setting.ts";

let cluster: TestCluster;
let apis: RunningControlApi[];
beforeAll(async () => {
	cluster = await TestCluster.start();
	apis = [await cluster.startApi(), await cluster.startApi()];
});
afterAll(async () => {
	await cluster.stop();
});

const { DEBUG, INFO, WARN, UNSET } = LogLevel_Level;
const setting = (service: string, facility: string, level: LogLevel_Level) =>
	create(LogLevelRequestSchema, { service, facility, level });

function after(...added: ReturnType<typeof setting>[]): string[] {
	let settings: ReturnType<typeof withSetting> = [];
	for (const each of added) settings = withSetting(settings, each);
	return settings.map((each) => `${each.service}/${each.facility}=${LogLevel_Level[each.level]}`);
}

test("a setting replaces those it covers and leaves the others", () => {
	expect(after(setting("", "", DEBUG), setting("a", "rx", WARN))).toEqual(["/=DEBUG", "a/rx=WARN"]);
	expect(after(setting("a", "rx", WARN), setting("a", "", INFO))).toEqual(["a/=INFO"]);
	expect(after(setting("a", "rx", WARN), setting("", "rx", INFO))).toEqual(["/rx=INFO"]);
	expect(after(setting("a", "rx", WARN), setting("b", "", DEBUG), setting("", "", INFO))).toEqual(["/=INFO"]);
	expect(after(setting("a", "", WARN), setting("b", "", DEBUG))).toEqual(["a/=WARN", "b/=DEBUG"]);
});

test("settings made at two control-apis at once all stand", async () => {
	const services = Array.from({ length: 20 }, (_, k) => `service-${k}`);
	await Promise.all(services.map((service, k) => apis[k % 2]?.logLevels.handle(setting(service, "", DEBUG))));
	const told = await apis[0]?.logLevels.handle(setting("", "", UNSET));
	expect(told?.settings.map((each) => each.service).sort()).toEqual(services.sort());
});

test("what is no name or no level is refused", async () => {
	const api = apis[0];
	await expect(api?.logLevels.handle(setting("A b", "", INFO))).rejects.toThrow(
		'service: "A b" is not a name',
	);
	await expect(api?.logLevels.handle(setting("", "", 77 as LogLevel_Level))).rejects.toThrow(
		"level: 77 is none",
	);
});
