import { expect, test } from "bun:test";
import { call } from "@sluice/lib/client";
import { until } from "@sluice/lib/testing/until";
import {
	RecoverRequest_Action as Action,
	RecoverRequestSchema,
	RecoverResponseSchema,
} from "@sluice/proto/gen/cluster";
import { requests } from "@sluice/proto/subjects";
import { servingCluster } from "../testing/cluster.ts";

const cluster = await servingCluster();

const look = () =>
	call(
		cluster.nc,
		requests.clusterRecover,
		RecoverRequestSchema,
		RecoverResponseSchema,
		{ action: Action.LOOK },
		5_000,
	);

test("a host that holds rules and does not answer is named, and one that was stopped is not asked", async () => {
	await cluster.writeHost({ host: "relay-b", holding: "the bucket of rules lacks some" });
	await until(async () => (await look().catch(() => undefined)) === undefined);
	await expect(look()).rejects.toMatchObject({
		code: "timeout",
		message: expect.stringMatching(/^host relay-b holds rules and does not say which: /),
	});
	await cluster.writeHost({ host: "relay-b", holding: "the bucket of rules lacks some", stopped: true });
	await until(async () => (await look().catch(() => undefined))?.hosts.length === 0, 2_000);
});
