import { expect, test } from "bun:test";
import { parseReport } from "./junit.ts";

const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="4" failures="1" skipped="1">
  <testsuite name="a.test.ts" file="a.test.ts">
    <testsuite name="outer &lt;&amp;&gt;">
      <testsuite name="inner">
        <testcase name="adds &quot;x&quot;" classname="inner &gt; outer" />
        <testcase name="fails"><failure type="AssertionError" message="a&#10;b">text</failure></testcase>
      </testsuite>
    </testsuite>
    <testcase name="left out"><skipped /></testcase>
    <testcase name="last" />
  </testsuite>
</testsuites>`;

test("every case is counted once, under its full name", () => {
	expect(parseReport(report)).toEqual({
		passed: ['outer <&> > inner > adds "x"', "last"],
		failed: ["outer <&> > inner > fails"],
		skipped: ["left out"],
	});
});

test("a report cut short is an error, not a shorter report", () => {
	expect(() => parseReport(report.slice(0, 300))).toThrow();
});
