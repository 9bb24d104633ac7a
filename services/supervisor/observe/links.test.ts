import { expect, test } from "bun:test";
import { ip, link } from "../reconcile/testing/world.ts";
import { LinkObserver, type ReportedLink } from "./links.ts";

const ALL = { isOutlived: () => false, mayCome: () => true };

function observe(...first: ReportedLink[]) {
	let reported = first;
	const observer = new LinkObserver(() => reported, ALL);
	return {
		observer,
		report: (...links: ReportedLink[]) => {
			reported = links;
			return said(observer);
		},
	};
}

function said(observer: LinkObserver): string[] {
	return observer.refresh().map(({ text }) => text);
}

const down = { ...link("r0", 2, { up: false }), carrierUps: 1 };
const up = { ...link("r0", 2), carrierUps: 2 };

test("the carrier epoch grows each time a link comes up, and only then", () => {
	const { observer, report } = observe();
	const epoch = () => observer.links[0]?.carrierEpoch;
	report(down);
	expect(epoch()).toBe(0);
	report(up);
	expect(epoch()).toBe(1);
	report({ ...up, mtu: 9000 });
	expect(epoch()).toBe(1);
	report(down);
	report(up);
	expect(epoch()).toBe(2);
});

test("a link that was down between two reports came up, though neither says so", () => {
	const { observer, report } = observe();
	report(up);
	expect(report({ ...up, carrierUps: 4 })).toEqual(["r0 was down and is up again"]);
	expect(observer.links[0]?.carrierEpoch).toBe(2);
	expect(report({ ...up, carrierUps: 4 })).toEqual([]);
	expect(report({ ...down, carrierUps: 5 })).toEqual(["r0 is down"]);
	expect(observer.links[0]?.carrierEpoch).toBe(2);
});

test("a link with another index is another link", () => {
	const { observer, report } = observe();
	report(up);
	report({ ...up, ifindex: 9 });
	expect(observer.links[0]?.carrierEpoch).toBe(1);
});

test("a link whose predecessor's sockets are still open is not there until they are closed", () => {
	let open = false;
	const observer = new LinkObserver(() => [up], {
		...ALL,
		isOutlived: ({ ifindex }) => open && ifindex === 2,
	});
	observer.refresh();
	open = true;
	expect(said(observer)).toEqual(["r0 is gone"]);
	expect(observer.awaited).toEqual(["r0"]);
	open = false;
	expect(said(observer)).toEqual(["r0 appeared, up"]);
	expect(observer.awaited).toEqual([]);
});

test("while none may come, those that are there stay, and those that come wait", () => {
	const looks: boolean[] = [];
	let reported = [up];
	const observer = new LinkObserver(() => reported, {
		...ALL,
		mayCome: (isFirstLook) => {
			looks.push(isFirstLook);
			return isFirstLook || looks.length > 2;
		},
	});
	expect(said(observer)).toEqual(["r0 appeared, up"]);
	reported = [
		{ ...up, mtu: 9000 },
		{ ...up, name: "r1", ifindex: 3 },
	];
	expect(said(observer)).toEqual(["r0 has MTU 9000, before 1500"]);
	expect(observer.awaited).toEqual(["r1"]);
	expect(said(observer)).toEqual(["r1 appeared, up"]);
	expect(looks).toEqual([true, false, false]);
});

test("changes are said, one line each; no change says nothing", () => {
	const { report } = observe();
	expect(report(down)).toEqual(["r0 appeared, down"]);
	expect(report(down)).toEqual([]);
	expect(report(up)).toEqual(["r0 is up"]);
	expect(report({ ...up, name: "left" })).toEqual(["r0 is now named left"]);
	expect(report({ ...up, name: "left", mtu: 9000, addresses: [ip("10.1.1.1")] })).toEqual([
		"left has MTU 9000, before 1500",
		"left has other addresses",
	]);
	expect(report()).toEqual(["left is gone"]);
});
