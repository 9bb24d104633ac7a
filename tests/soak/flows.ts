/** What flows through the soak: the rules, who sends, who listens. */

import { RULE_SLOTS } from "./plan.ts";

export interface RuleSpec {
	readonly name: string;
	readonly input: { interface: string; group: string; port: number };
	readonly outputs: { interface: string; address: string; port: number }[];
}

export interface Listening {
	readonly in: string;
	readonly streams?: number;
	readonly copies?: number;
}

/** One generator and those who listen to what the relay makes of it. */
export interface Flow {
	readonly name: string;
	readonly to: string;
	readonly streams: number;
	/** Datagrams per second of each stream. */
	readonly rate: number;
	readonly size: number;
	readonly burst: number;
	/** Super-packets cross the veth pair whole. */
	readonly segment: boolean;
	readonly rules: readonly RuleSpec[];
	readonly listening: readonly Listening[];
}

/** Interfaces of the relay that datagrams come in by, and the other end of each. */
export const STABLE_INPUT = "r0";
export const BUNDLE_INPUT = "r3";
const CHURN_INPUT = "r4";

function range<T>(count: number, make: (index: number) => T): T[] {
	return Array.from({ length: count }, (_, index) => make(index));
}

const video: Flow = {
	...{ name: "video", to: "s0:239.1.1.1:5001", streams: 1, rate: 1_500, size: 1_316, burst: 4 },
	segment: false,
	rules: [
		{
			name: "video",
			input: { interface: STABLE_INPUT, group: "239.1.1.1", port: 5001 },
			outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001 }],
		},
	],
	listening: [{ in: "d0:239.10.1.1:6001" }],
};

const MANY = 8;

const many: Flow = {
	...{ name: "many", to: "s0:239.2.1.1:5002", streams: MANY, rate: 200, size: 200, burst: 1 },
	segment: false,
	rules: range(MANY, (stream) => ({
		name: `many-${stream}`,
		input: { interface: STABLE_INPUT, group: `239.2.1.${stream + 1}`, port: 5002 },
		outputs: [{ interface: "r1", address: `239.20.1.${stream + 1}`, port: 6002 }],
	})),
	listening: [{ in: "d0:239.20.1.1:6002", streams: MANY }],
};

const COPIES = 8;

const fan: Flow = {
	...{ name: "fan", to: "s0:239.3.1.1:5003", streams: 1, rate: 600, size: 500, burst: 2 },
	segment: false,
	rules: [
		{
			name: "fan",
			input: { interface: STABLE_INPUT, group: "239.3.1.1", port: 5003 },
			outputs: range(COPIES, (copy) => ({
				interface: copy < COPIES / 2 ? "r1" : "r2",
				address: `239.30.1.${copy + 1}`,
				port: 6003,
			})),
		},
	],
	listening: [
		{ in: "d0:239.30.1.1:6003", copies: COPIES / 2 },
		{ in: `d1:239.30.1.${COPIES / 2 + 1}:6003`, copies: COPIES / 2 },
	],
};

/** Comes in by unicast and goes out as multicast. */
const fromTunnel: Flow = {
	...{ name: "from-tunnel", to: "s0:10.1.0.1:5004", streams: 1, rate: 500, size: 900, burst: 1 },
	segment: false,
	rules: [
		{
			name: "from-tunnel",
			input: { interface: STABLE_INPUT, group: "10.1.0.1", port: 5004 },
			outputs: [{ interface: "r2", address: "239.40.1.1", port: 6004 }],
		},
	],
	listening: [{ in: "d1:239.40.1.1:6004" }],
};

const toTunnel: Flow = {
	...{ name: "to-tunnel", to: "s0:239.5.1.1:5005", streams: 1, rate: 500, size: 900, burst: 8 },
	segment: false,
	rules: [
		{
			name: "to-tunnel",
			input: { interface: STABLE_INPUT, group: "239.5.1.1", port: 5005 },
			outputs: [{ interface: "r1", address: "10.2.0.2", port: 6005 }],
		},
	],
	listening: [{ in: "d0:10.2.0.2:6005" }],
};

/** All that comes in by this input is accounted for to the datagram. */
export const STABLE_FLOWS: readonly Flow[] = [video, many, fan, fromTunnel, toTunnel];

/** Longer than a slot: a worker that dies while it reads one loses that one, counted as TRUNCATED. */
export const BUNDLES: Flow = {
	...{ name: "bundles", to: "s3:239.7.1.1:5007", streams: 1, rate: 480, size: 1_400, burst: 16 },
	segment: true,
	rules: [
		{
			name: "bundles",
			input: { interface: BUNDLE_INPUT, group: "239.7.1.1", port: 5007 },
			outputs: [{ interface: "r2", address: "239.70.1.1", port: 6007 }],
		},
	],
	listening: [{ in: "d1:239.70.1.1:6007" }],
};

/** Its rules come and go, and with the last of them the sockets of their input. */
export const CHURNED: Flow = {
	...{ name: "churned", to: "s4:239.6.1.1:5006", streams: RULE_SLOTS, rate: 200, size: 300, burst: 1 },
	segment: false,
	rules: [],
	listening: [{ in: "d0:239.60.1.1:6006", streams: RULE_SLOTS }],
};

/** The rule of one slot of the churned flow. Somebody listens to its first output. */
export function churnedRule(slot: number, outputs: number): RuleSpec {
	return {
		name: `churned-${slot}`,
		input: { interface: CHURN_INPUT, group: `239.6.1.${slot + 1}`, port: 5006 },
		outputs: range(outputs, (output) => ({
			interface: output % 2 === 0 ? "r1" : "r2",
			address: `239.60.${output + 1}.${slot + 1}`,
			port: 6006,
		})),
	};
}

/** Rules that nothing is sent to; every second one on the churned input, the others among stable ones. */
export function idleRules(count: number): RuleSpec[] {
	return range(count, (index) => ({
		name: `idle-${index}`,
		input: {
			interface: index % 2 === 0 ? CHURN_INPUT : STABLE_INPUT,
			group: `239.8.1.${index + 1}`,
			port: 5008,
		},
		outputs: [{ interface: index % 3 === 0 ? "r1" : "r2", address: `239.80.1.${index + 1}`, port: 6008 }],
	}));
}

export const STABLE_RULES: readonly RuleSpec[] = [...STABLE_FLOWS, BUNDLES].flatMap(({ rules }) => rules);
