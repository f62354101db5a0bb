/** The computations of charts and graphs. */
import { expect, test } from "vitest";
import {
  chartRowStep,
  chartTimes,
  groupChartMarks,
  lastKnownPoint,
  type ChartMark,
} from "../../../console/components/chart-core.ts";
import {
  arrowPath,
  edgePath,
  firstView,
  fitView,
  nearestNode,
  zoomView,
} from "../../../console/components/graph-core.ts";

const mark = (at: number, tone: ChartMark["tone"] = "idle"): ChartMark => ({ at, label: `at ${at}`, tone });

test("marks that are near each other become one, with the worst tone", () => {
  const groups = groupChartMarks([mark(50, "bad"), mark(10), mark(48, "accent"), mark(90)], { from: 0, to: 100 }, 0.05);
  expect(groups.map(({ place, marks, tone }) => [place, marks.length, tone])).toEqual([
    [0.1, 1, "idle"],
    [0.48, 2, "bad"],
    [0.9, 1, "idle"],
  ]);
});

test("marks beyond the axis are left out, those at its ends are kept", () => {
  const groups = groupChartMarks([mark(-1), mark(0), mark(100), mark(101)], { from: 0, to: 100 }, 0.01);
  expect(groups.map(({ at }) => at)).toEqual([0, 100]);
});

test("the last known point is the last with a value in any series", () => {
  expect(lastKnownPoint([{ name: "a", tone: "accent", values: [1, null, null] }])).toBe(0);
  expect(
    lastKnownPoint([
      { name: "a", tone: "accent", values: [1, null, null] },
      { name: "b", tone: "bad", values: [null, 0, null] },
    ]),
  ).toBe(1);
  expect(lastKnownPoint([{ name: "a", tone: "accent", values: [null] }])).toBe(-1);
});

test("times of points, and rows of the hidden table", () => {
  expect(chartTimes("1970-01-01T00:00:10Z", 3, 10)).toEqual([10_000, 20_000, 30_000]);
  expect(chartRowStep(360, 60)).toBe(6);
  expect(chartRowStep(30, 60)).toBe(1);
});

test("an edge begins and ends at its ends, and its arrow points along its last part", () => {
  const points = [
    { x: 0, y: 0 },
    { x: 10, y: 0 },
    { x: 20, y: 10 },
  ];
  expect(edgePath(points)).toBe("M0,0 Q10,0 15,5 L20,10");
  expect(arrowPath(points.slice(0, 2), 10)).toMatch(/^M10,0 L1,-4\.3 L1,4\.3 Z$/);
  expect(edgePath([])).toBe("");
});

test("arrow keys go to the nearest node in their direction", () => {
  const nodes = [
    { id: "right", x: 100, y: 10 },
    { id: "far", x: 300, y: 0 },
    { id: "below", x: 10, y: 80 },
    { id: "left", x: -50, y: 0 },
  ];
  const from = { x: 0, y: 0 };
  expect(nearestNode(from, nodes, "right")?.id).toBe("right");
  expect(nearestNode(from, nodes, "down")?.id).toBe("below");
  expect(nearestNode(from, nodes, "left")?.id).toBe("left");
  expect(nearestNode(from, nodes, "up")).toBeUndefined();
});

test("a graph is fitted into its frame, and never enlarged", () => {
  expect(fitView({ width: 100, height: 50 }, { width: 400, height: 200 })).toEqual({ scale: 1, x: 150, y: 75 });
  expect(fitView({ width: 800, height: 100 }, { width: 400, height: 200 })).toEqual({ scale: 0.5, x: 0, y: 75 });
});

test("a large graph is first shown so that names can be read, from its left end", () => {
  const view = firstView({ width: 8000, height: 4000 }, { width: 400, height: 200 });
  expect(view.scale).toBeGreaterThan(0.5);
  expect(view.x).toBe(0);
});

test("zooming keeps the point under the pointer", () => {
  const before = { scale: 1, x: 10, y: 20 };
  const after = zoomView(before, 1.5, { x: 110, y: 120 });
  expect(after.scale).toBe(1.5);
  // (110 - x) / scale is the same place of the graph.
  expect((110 - after.x) / after.scale).toBeCloseTo(100);
  expect((120 - after.y) / after.scale).toBeCloseTo(100);
  expect(zoomView(before, 100, { x: 0, y: 0 }).scale).toBe(2);
});
