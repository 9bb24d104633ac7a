import { describe, expect, test } from "bun:test";
import { countCpuList } from "./cpus.ts";
import { formatListenAddress, parseListenAddress, reachableOnThisHost } from "./listen-address.ts";
import { planUp } from "./options.ts";

const dataDir = "/var/lib/sluice";

describe("planUp", () => {
	test("without --nats it runs the whole cluster, on the loopback", () => {
		const plan = planUp({ dataDir, hostId: "relay-a", workers: 3, ringMemoryMiB: 64 });
		expect(plan.idle).toBe("adaptive");
		expect(planUp({ dataDir, hostId: "a", idle: "spin" }).idle).toBe("spin");
		expect(plan.priority).toBe("nice");
		expect(planUp({ dataDir, hostId: "a", priority: "realtime" }).priority).toBe("realtime");
		expect(plan).toMatchObject({ hostId: "relay-a", workers: 3, labels: {}, ringLimitBytes: 64 * 2 ** 20 });
		expect(plan.cluster).toEqual({
			kind: "own",
			http: { address: "127.0.0.1", port: 7080 },
			natsListen: { address: "127.0.0.1", port: 4222 },
			natsTls: undefined,
		});
	});

	test("with --nats it joins, and needs credentials and no doors of its own", () => {
		const natsUrl = "nats://10.0.0.1:4222";
		expect(planUp({ dataDir, hostId: "b", natsUrl, credentialsFile: "/etc/b.json" }).cluster).toEqual({
			kind: "joined",
			natsUrl,
			credentialsFile: "/etc/b.json",
			urlOfFile: false,
		});
		expect(() => planUp({ dataDir, hostId: "b", natsUrl })).toThrow(/add --credentials FILE/);
		const doors = { dataDir, hostId: "b", natsUrl, credentialsFile: "x", http: "127.0.0.1:1" };
		expect(() => planUp(doors)).toThrow(/^--http has no meaning with --nats:/);
		const doorsOfFile = { ...doors, urlOfFile: true as const };
		expect(() => planUp(doorsOfFile)).toThrow(/^--http has no meaning with --credentials:/);
	});

	test("TLS takes a certificate and its key, of a server of one's own", () => {
		const files = { natsTlsCert: "/c.pem", natsTlsKey: "/k.pem" };
		expect(planUp({ dataDir, hostId: "a", ...files }).cluster).toMatchObject({
			natsTls: { certificate: "/c.pem", key: "/k.pem", ca: undefined },
		});
		expect(() => planUp({ dataDir, hostId: "a", natsTlsCert: "/c.pem" })).toThrow(/add --nats-tls-key FILE$/);
		expect(() => planUp({ dataDir, hostId: "a", natsTlsCa: "/a.pem" })).toThrow(/add --nats-tls-cert FILE$/);
		const joins = { dataDir, hostId: "b", natsUrl: "tls://10.0.0.1", credentialsFile: "x", ...files };
		expect(() => planUp(joins)).toThrow(/^--nats-tls-cert has no meaning with --nats/);
	});

	test("bad values are refused", () => {
		for (const hostId of ["Relay", "a.b", "", "-a", "all", "a".repeat(64)]) {
			expect(() => planUp({ dataDir, hostId })).toThrow(/^--host-id/);
		}
		for (const natsListen of ["127.0.0.1:7080", "0.0.0.0:7080", "[::]:7080"]) {
			expect(() => planUp({ dataDir, hostId: "a", natsListen })).toThrow(/another port than --http/);
		}
		expect(() => planUp({ dataDir, hostId: "a", natsListen: "10.0.0.1:7080" })).not.toThrow();
		expect(() => planUp({ dataDir, hostId: "a", natsListen: "foo" })).toThrow(
			"--nats-listen foo: expected ADDR:PORT, for instance 127.0.0.1:4222 or [::1]:4222",
		);
		for (const workers of [0, -1, 1.5, Number.NaN, 2000]) {
			expect(() => planUp({ dataDir, hostId: "a", workers })).toThrow(/^--workers/);
		}
		expect(() => planUp({ dataDir, hostId: "a", idle: "lazy" })).toThrow(
			"--idle lazy: expected adaptive, block, spin",
		);
		expect(() => planUp({ dataDir, hostId: "a", priority: "high" })).toThrow(
			"--priority high: expected nice, realtime",
		);
		for (const ringMemoryMiB of [0, 1, 1.5, Number.NaN, 2 ** 21]) {
			expect(() => planUp({ dataDir, hostId: "a", ringMemoryMiB })).toThrow(/^--ring-memory/);
		}
		expect(() => planUp({ dataDir, hostId: "a", workers: 3, ringMemoryMiB: 5 })).toThrow(
			"--ring-memory 5: expected 6 to 1048576 MiB for 3 workers",
		);
		expect(planUp({ dataDir, hostId: "a", workers: 3, ringMemoryMiB: 6 }).ringLimitBytes).toBe(6 * 2 ** 20);
		for (const http of [
			"7080",
			"127.0.0.1",
			"127.0.0.1:0",
			"127.0.0.1:70000",
			"::1:80",
			"256.0.0.1:80",
			"host:80",
		]) {
			expect(() => planUp({ dataDir, hostId: "a", http })).toThrow(/^--http/);
		}
	});
});

test("addresses are read and written with brackets for IPv6; a wildcard is reached by the loopback", () => {
	const texts = ["[::1]:7080", "10.0.0.1:4222", "[::]:4222", "0.0.0.0:4222"];
	const parsed = texts.map((text) => parseListenAddress("--http", text, "127.0.0.1:7080"));
	expect(parsed.map(formatListenAddress)).toEqual(texts);
	expect(parsed.map((each) => formatListenAddress(reachableOnThisHost(each)))).toEqual([
		"[::1]:7080",
		"10.0.0.1:4222",
		"[::1]:4222",
		"127.0.0.1:4222",
	]);
});

test("a list of CPUs is counted as the kernel writes it", () => {
	expect(["0", "0-3", "0-3,8", "1,3,5-6"].map(countCpuList)).toEqual([1, 4, 5, 4]);
});
