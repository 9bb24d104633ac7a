import { expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { type HostRecord, HostRecordSchema } from "@sluice/proto/gen/host";
import { recordFault } from "./host-records.ts";

function fault(record: Partial<Pick<HostRecord, "host" | "exceptions" | "interfaces" | "labels">>) {
	const message = create(HostRecordSchema, { host: "relay-a", ...record });
	return recordFault("relay-a", message, toBinary(HostRecordSchema, message).length);
}

const many = <Part>(count: number, part: (k: number) => object) =>
	Array.from({ length: count }, (_, k) => part(k) as Part);

test("all that a host can have to say passes", () => {
	const exceptions = many<HostRecord["exceptions"][number]>(20_000, (k) => ({
		name: `rule-${k}`,
		state: 2,
		// Two bytes in a message, one unit here.
		reason: "é".repeat(130),
	}));
	const interfaces = many<HostRecord["interfaces"][number]>(4_096, (k) => ({
		name: `r${k}`,
		index: k,
		addresses: ["10.100.100.100"],
		mac: "02:00:00:00:00:01",
		driver: "veth",
	}));
	expect(fault({ exceptions, interfaces })).toBeUndefined();
});

test("what speaks of another host, or without measure, is refused by name", () => {
	expect(fault({ host: "relay-b" })).toBe("it speaks of another");
	expect(fault({ interfaces: many(4_097, () => ({})) })).toBe("more than 4096 interfaces");
	expect(fault({ exceptions: many(20_001, () => ({})) })).toBe("more than 20000 rules");
	expect(fault({ labels: { site: "x".repeat(600_000) } })).toBe("more than 524288 bytes besides its rules");
});
