import assert from "node:assert/strict";
import { test } from "node:test";

import { Lifecycle, type Stoppable } from "../src/lifecycle";

/** Servers that note when they live; they end when told to, or fail to end. */
function world(fails: (number: number) => boolean = () => false) {
  const alive = new Set<number>();
  const most: number[] = [];
  const complaints: unknown[] = [];
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
  return { alive, most, complaints, lifecycle: new Lifecycle(launch, (error) => complaints.push(error)) };
}

test("overlapping restarts leave one server, and never two at a time", async () => {
  const { alive, most, complaints, lifecycle } = world();
  await Promise.all([lifecycle.restart(), lifecycle.restart(), lifecycle.restart()]);
  assert.deepEqual([...alive], [3]);
  assert.deepEqual(most, [1, 1, 1]);
  assert.deepEqual(complaints, []);
  await Promise.all([lifecycle.restart(), lifecycle.stop()]);
  assert.equal(alive.size, 0);
  assert.equal(lifecycle.current, undefined);
});

test("a server that ends badly is a complaint, and the next one starts all the same", async () => {
  const { alive, complaints, lifecycle } = world((number) => number === 1);
  await lifecycle.restart();
  await lifecycle.restart();
  assert.deepEqual([...alive], [2]);
  assert.match(String(complaints), /server 1 did not answer/);
});

test("a launch that fails is a complaint, and the next restart is not lost", async () => {
  const complaints: unknown[] = [];
  let ready = false;
  const launch = (): Stoppable => {
    if (!ready) {
      throw new Error("no such command");
    }
    return { stop: async () => undefined };
  };
  const lifecycle = new Lifecycle(launch, (error) => complaints.push(error));
  await lifecycle.restart();
  assert.equal(lifecycle.current, undefined);
  ready = true;
  await lifecycle.restart();
  assert.notEqual(lifecycle.current, undefined);
  assert.equal(complaints.length, 1);
});
