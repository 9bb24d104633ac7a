import { afterAll, beforeAll, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import type { SluiceError } from "@sluice/lib/errors";
import { facilities } from "@sluice/lib/facilities";
import { settlesWithin } from "@sluice/lib/settles-within";
import { LogLevel_Level, LogLevelRequestSchema } from "@sluice/proto/gen/log";
import type { RunningControlApi } from "../control-api.ts";
import { refusal, TestCluster } from "../testing/cluster.ts";
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
	const pairs = Object.entries(facilities).flatMap(([service, names]) =>
		names.map((name) => [service, name]),
	);
	const made = pairs.map(([service = "", facility = ""]) => setting(service, facility, DEBUG));
	await Promise.all(made.map((each, k) => apis[k % 2]?.logLevels.handle(each)));
	const told = await apis[0]?.logLevels.handle(setting("", "", UNSET));
	expect(told?.settings.map((each) => [each.service, each.facility]).sort()).toEqual(pairs.sort());
});

test("a service or facility that does not exist, or no level, is refused with those that do", async () => {
	const api = apis[0];
	const refused = (service: string, facility: string, level = INFO) =>
		api?.logLevels
			.handle(setting(service, facility, level))
			.catch((error: SluiceError) => [error.code, error.message]);
	expect(await refused("wroker", "")).toEqual([
		"invalid",
		'service: there is no "wroker": choose one of control-api, supervisor, worker, stats-aggregator',
	]);
	expect(await refused("worker", "http")).toEqual([
		"invalid",
		'facility: there is no "http" in worker: choose one of capture, channel, counters, egress, table',
	]);
	expect(await refused("", "captur", UNSET)).toEqual([
		"invalid",
		expect.stringMatching(
			/^facility: there is no "captur" in any service: choose one of capture, channel, .*workers$/,
		),
	]);
	expect(await refused("", "", 77 as LogLevel_Level)).toEqual([
		"invalid",
		expect.stringContaining("there is no 77: choose one of TRACE"),
	]);
});

test("a storage that answers no write is said before whoever asks has waited in vain", async () => {
	await cluster.server.standStill();
	const refused = refusal(Promise.resolve(apis[0]?.logLevels.handle(setting("", "", WARN))));
	// By a timer of this loop: what holds that up holds up the other as well.
	const isInTime = await settlesWithin(refused, 5_000);
	cluster.server.goOn();
	expect(isInTime).toBe(true);
	expect(await refused).toMatchObject({
		code: "unavailable",
		message: expect.stringMatching(/^the storage refuses writes \(.*\): look at disk space/),
	});
}, 60_000);
