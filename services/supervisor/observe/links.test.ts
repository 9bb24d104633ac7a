import { expect, test } from "bun:test";
import { ip, link } from "../reconcile/testing/world.ts";
import { LinkObserver, type ReportedLink } from "./links.ts";

function observe(...first: ReportedLink[]) {
	let reported = first;
	const observer = new LinkObserver(() => reported);
	return {
		observer,
		report: (...links: ReportedLink[]) => {
			reported = links;
			return observer.refresh();
		},
	};
}

const down = link("r0", 2, { up: false });
const up = link("r0", 2);

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

test("a link with another index is another link", () => {
	const { observer, report } = observe();
	report(up);
	report({ ...up, ifindex: 9 });
	expect(observer.links[0]?.carrierEpoch).toBe(1);
});

test("a link whose predecessor's sockets are still open is not there until they are closed", () => {
	let open = false;
	const observer = new LinkObserver(
		() => [up],
		({ ifindex }) => open && ifindex === 2,
	);
	observer.refresh();
	open = true;
	expect(observer.refresh()).toEqual(["r0 is gone"]);
	expect(observer.awaits).toBe(true);
	open = false;
	expect(observer.refresh()).toEqual(["r0 appeared, up"]);
	expect(observer.awaits).toBe(false);
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
