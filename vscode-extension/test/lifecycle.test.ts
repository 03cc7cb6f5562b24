import assert from "node:assert/strict";
import { test } from "node:test";

import { Lifecycle, type Stoppable } from "../src/lifecycle";

/** Servers that record when they run; they end on `stop`, or fail to. */
function world(fails: (number: number) => boolean = () => false) {
  const alive = new Set<number>();
  const most: number[] = [];
  const reports: unknown[] = [];
  let launched = 0;
  const launch = (): Stoppable => {
    const number = ++launched;
    alive.add(number);
    most.push(alive.size);
    return {
      stop: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        alive.delete(number);
        if (fails(number)) {
          throw new Error(`server ${number} did not answer`);
        }
      },
    };
  };
  return { alive, most, reports, lifecycle: new Lifecycle(launch, (error) => reports.push(error)) };
}

test("overlapping restarts leave one server, and never two at a time", async () => {
  const { alive, most, reports, lifecycle } = world();
  await Promise.all([lifecycle.restart(), lifecycle.restart(), lifecycle.restart()]);
  assert.deepEqual([...alive], [3]);
  assert.deepEqual(most, [1, 1, 1]);
  assert.deepEqual(reports, []);
  await Promise.all([lifecycle.restart(), lifecycle.stop()]);
  assert.equal(alive.size, 0);
  assert.equal(lifecycle.current, undefined);
});

test("a server that fails to stop is reported, and the next one starts", async () => {
  const { alive, reports, lifecycle } = world((number) => number === 1);
  await lifecycle.restart();
  await lifecycle.restart();
  assert.deepEqual([...alive], [2]);
  assert.match(String(reports), /server 1 did not answer/);
});

test("a launch that fails is reported, and the next restart works", async () => {
  const reports: unknown[] = [];
  let ready = false;
  const launch = (): Stoppable => {
    if (!ready) {
      throw new Error("no such command");
    }
    return { stop: async () => undefined };
  };
  const lifecycle = new Lifecycle(launch, (error) => reports.push(error));
  await lifecycle.restart();
  assert.equal(lifecycle.current, undefined);
  ready = true;
  await lifecycle.restart();
  assert.notEqual(lifecycle.current, undefined);
  assert.equal(reports.length, 1);
});
