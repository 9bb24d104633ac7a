/**
 * Runs inside a relay's namespace: with a host's file, says in that host's record again and again that it holds rules,
 * and answers nobody who asks which: a supervisor that hangs, or is in foreign hands. Prints `ready` once it has begun.
 */
import { readFileSync } from "node:fs";
import { create, toBinary } from "@bufbuild/protobuf";
import { connectNats } from "@sluice/lib/connect";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import {
	buckets,
	hostConnectionName,
	hostHeldSubject,
	kvSubject,
	PROTOCOL_VERSION,
} from "@sluice/proto/subjects";

const file = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as {
	host: string;
	url: string;
	supervisor: { seed: string };
};
const { host, url, supervisor } = file;
const nc = await connectNats({
	url,
	credentials: { kind: "nkey", seed: supervisor.seed },
	name: hostConnectionName("supervisor", host),
});
nc.subscribe(hostHeldSubject(host), { callback: () => {} });
const record = create(HostRecordSchema, {
	host,
	holding: "the bucket of rules lacks some",
	protocolVersion: PROTOCOL_VERSION,
});
const say = () => nc.publish(kvSubject(buckets.hosts, host), toBinary(HostRecordSchema, record));
say();
await nc.flush();
console.log("ready");
setInterval(say, 500);
