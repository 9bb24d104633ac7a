import { expect, test } from "bun:test";
import { nkeyAuthenticator, nkeys } from "@nats-io/transport-node";
import { nkeyUser } from "./nkey.ts";

const SEEDS = 50;
const NONCE = "zqVbAHCEF8Vyw6Q";

function newSeed(pair = nkeys.createUser()): string {
	return new TextDecoder().decode(pair.getSeed());
}

test("the public key and the signature are those of the NATS library, for any seed", () => {
	for (let count = 0; count < SEEDS; count++) {
		const seed = newSeed();
		const theirs = nkeyAuthenticator(new TextEncoder().encode(seed))(NONCE) as { nkey: string; sig: string };
		const ours = nkeyUser(seed)(NONCE) as typeof theirs;
		expect(ours.nkey).toBe(theirs.nkey);
		expect(Buffer.from(ours.sig, "base64")).toEqual(Buffer.from(theirs.sig, "base64"));
	}
});

test("what is no seed of a user is refused, and not shown", () => {
	const right = newSeed();
	const swapped = right.slice(0, 20) + (right[20] === "A" ? "B" : "A") + right.slice(21);
	const others = [newSeed(nkeys.createAccount()), nkeys.createUser().getPublicKey()];
	for (const seed of ["", "SU", right.slice(1), `${right}A`, right.toLowerCase(), swapped, ...others]) {
		const attempt = () => nkeyUser(seed);
		expect(attempt).toThrow("the seed of the credentials is damaged");
	}
});
