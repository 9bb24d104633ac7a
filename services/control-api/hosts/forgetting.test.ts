import { expect, test } from "bun:test";
import { call } from "@sluice/lib/client";
import { until } from "@sluice/lib/testing/until";
import {
	ForgetHostRequestSchema,
	ForgetHostResponseSchema,
	type Host,
	ListHostsRequestSchema,
	ListHostsResponseSchema,
} from "@sluice/proto/gen/host";
import { buckets, kvSubject, requests } from "@sluice/proto/subjects";
import { servingCluster } from "../testing/cluster.ts";

const cluster = await servingCluster();

const forget = (host: string) =>
	call(cluster.nc, requests.hostForget, ForgetHostRequestSchema, ForgetHostResponseSchema, { host }, 20_000);

async function hosts(): Promise<Host[]> {
	const { hosts } = await call(
		cluster.nc,
		requests.hostList,
		ListHostsRequestSchema,
		ListHostsResponseSchema,
		{},
		20_000,
	);
	return hosts;
}

const listed = async () => (await hosts()).map(({ host }) => host);

const isListed = (host: string) => until(async () => (await listed()).includes(host));

test("a host that is there is not forgotten, one that is gone is, and may come back; one that was stopped at once", async () => {
	await cluster.writeHost({ host: "relay-b" });
	await cluster.writeHost({ host: "relay-c" });
	await isListed("relay-c");
	await expect(forget("relay-b")).rejects.toMatchObject({
		code: "conflict",
		message: expect.stringMatching(/^host relay-b is there, seen \d\.\d s ago: stop sluice up there first$/),
	});
	await until(async () => (await forget("relay-b").catch(() => undefined))?.known === true);
	expect(await listed()).toEqual(["relay-c"]);
	await cluster.writeHost({ host: "relay-b" });
	await isListed("relay-b");
	await cluster.writeHost({ host: "relay-b", stopped: true });
	await until(async () => (await hosts()).some(({ host, stopped }) => host === "relay-b" && stopped));
	expect((await forget("relay-b")).known).toBe(true);
});

test("one that stands in no list is told to those who remember it", async () => {
	const heard: string[] = [];
	const { nc } = cluster;
	nc.subscribe(kvSubject(buckets.hosts, "relay-x"), {
		callback: (_, message) => void heard.push(message.headers?.get("KV-Operation") ?? ""),
	});
	await nc.flush();
	// No stats-aggregator runs here.
	expect(await forget("relay-x")).toMatchObject({ host: "relay-x", known: false, figuresKept: false });
	expect((await forget("relay-x")).known).toBe(false);
	await until(() => heard.length === 2);
	expect(heard).toEqual(["DEL", "DEL"]);
	expect(await listed()).not.toContain("relay-x");
});

test("what is no host id is refused", async () => {
	for (const [host, complaint] of [
		["", "host: missing: give a name"],
		["a.b", 'host: "a.b" is not a name'],
		["*", 'host: "*" is not a name'],
		["all", "host: all are meant by it: name one"],
	] as const) {
		await expect(forget(host)).rejects.toMatchObject({
			code: "invalid",
			message: expect.stringContaining(complaint),
		});
	}
});
