import { PROTOCOL_METADATA } from "@sluice/proto/subjects";

/** What the metadata of the bucket of rules say; undefined: nothing, as before there was a second version. */
export function protocolOf(metadata: Readonly<Record<string, string>> | undefined): number | undefined {
	const stamped = metadata?.[PROTOCOL_METADATA] ?? "";
	return /^[1-9][0-9]{0,5}$/.test(stamped) ? Number(stamped) : undefined;
}

/** Why a host and its cluster do not understand each other; undefined: they do, or one of them says nothing. Pure. */
export function protocolComplaint(host: number, cluster: number | undefined): string | undefined {
	if (host === 0 || cluster === undefined || host === cluster) return undefined;
	const remedy = host < cluster ? "bring this host up to it" : "bring the cluster up to this host";
	return `this host speaks protocol ${host} and the cluster ${cluster}: ${remedy}`;
}
