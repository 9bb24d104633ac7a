/** Who owns a counter block; the names by which it is found again. */

export function ruleOwner(uid: string): string {
	return `rule/${uid}`;
}

/** Undefined: not a rule's. */
export function uidOfOwner(owner: string): string | undefined {
	return /^rule\/(.+)$/.exec(owner)?.[1];
}

export function outputOwner(uid: string, key: bigint): string {
	return `output/${uid}/${key}`;
}

/** Undefined: not an output's. */
export function outputOfOwner(owner: string): { readonly uid: string; readonly key: bigint } | undefined {
	const [, uid, key] = /^output\/(.+)\/(\d+)$/.exec(owner) ?? [];
	return uid === undefined || key === undefined ? undefined : { uid, key: BigInt(key) };
}

export function interfaceOwner(name: string): string {
	return `interface/${name}`;
}

/** "0f8fad5b-d9cb-469f-a165-70867728950e" as its 16 bytes. */
export function uidBytes(uid: string): Uint8Array {
	const bytes = Buffer.from(uid.replaceAll("-", ""), "hex");
	if (bytes.length !== 16) throw new Error(`uid ${uid} is not a UUID`);
	return bytes;
}
