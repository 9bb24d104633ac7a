/** One picture for each case: the figure that counts, variant by variant, a bar for each peer. */

import { BarChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import type { Row } from "../bench.ts";
import type { Case } from "../cases/case.ts";

use([BarChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const WIDTH = 960;
const BAR_HEIGHT = 16;
const SURROUNDINGS_HEIGHT = 152;
/** No font is at hand to measure with: generous, for what browsers take for sans-serif. */
const LETTER_WIDTH = 7.5;
const MARGIN = 16;
/** Told apart by people who see colours differently (Okabe and Ito). */
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"];

/** The SVG; undefined if there is nothing to draw. */
export function plot(one: Case, rows: readonly Row[]): string | undefined {
	const own = rows.filter((row) => row.case === one.name && typeof row.figures[one.plot.key] === "number");
	if (own.length === 0) return undefined;
	const variants = one.variants
		.map(({ label }) => label)
		.filter((label) => own.some((row) => row.variant === label));
	const peers = [...new Set(own.map(({ peer }) => peer))];
	const height = SURROUNDINGS_HEIGHT + variants.length * (peers.length * BAR_HEIGHT + BAR_HEIGHT);
	const letters = Math.max(...variants.map((label) => label.length));
	const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
	chart.setOption({
		animation: false,
		...{ color: COLOURS, backgroundColor: "#ffffff" },
		title: { text: one.title, left: MARGIN },
		legend: { top: 42, left: MARGIN, itemGap: 2 * MARGIN },
		grid: {
			...{ left: MARGIN + LETTER_WIDTH * letters, right: 3 * MARGIN, top: 84, bottom: 48 },
			outerBoundsMode: "none",
		},
		xAxis: { type: "value", name: one.plot.axis, nameLocation: "middle", nameGap: 28 },
		yAxis: { type: "category", inverse: true, data: variants },
		series: peers.map((peer) => ({
			...{ type: "bar", name: peer },
			label: { show: true, position: "right", formatter: ({ value }: { value: number }) => figure(value) },
			data: variants.map((variant) => {
				const row = own.find((found) => found.peer === peer && found.variant === variant);
				return row?.figures[one.plot.key] ?? null;
			}),
		})),
	});
	const svg = chart.renderToSVGString();
	chart.dispose();
	return svg;
}

const DIGITS = 3;

function figure(value: number): string {
	return value.toLocaleString("en-US", { maximumSignificantDigits: DIGITS });
}
