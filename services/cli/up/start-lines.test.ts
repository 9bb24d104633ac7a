import { expect, test } from "bun:test";
import { planUp } from "./options.ts";
import { supervisorStart } from "./start-lines.ts";

test("of a plan the supervisor is told what its configuration knows, and nothing else", () => {
	const options = { dataDir: "/data", hostId: "relay-a", labels: { role: "edge" }, workers: 2 };
	const relay = planUp({ ...options, priority: "realtime" });
	const paths = { stageDir: "/stage", keepFile: "/data/rules" };
	const told = supervisorStart({ installation: "this", relay, workerSeed: "SU", ...paths });
	expect(told).toEqual({
		installation: "this",
		labels: { role: "edge" },
		workers: 2,
		idle: "adaptive",
		priority: "realtime",
		ringLimitBytes: undefined,
		workerCredentials: { kind: "nkey", seed: "SU" },
		workerUser: "sluice-worker",
		...paths,
	});
});
