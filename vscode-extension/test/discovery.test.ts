import assert from "node:assert/strict";
import { test } from "node:test";

import { findServer, HOW_TO_INSTALL, type Surroundings } from "../src/discovery";

function around(existing: string[], changes: Partial<Surroundings> = {}): Surroundings {
  return {
    configured: [], folders: ["/home/me/project"], trusted: true, path: "/usr/bin:/home/me/bin", windows: false,
    exists: (file) => existing.includes(file), ...changes,
  };
}

const OWN = "/home/me/project/.venv/bin/ucoder";

test("the setting comes first, then the workspace's environment, then the PATH", () => {
  const all = [OWN, "/home/me/bin/ucoder", "/opt/x/ucoder"];
  assert.deepEqual(findServer(around(all, { configured: ["/opt/x/ucoder", "serve", "--probes", "8"] })), {
    command: "/opt/x/ucoder", args: ["serve", "--probes", "8"],
  });
  assert.deepEqual(findServer(around(all)), { command: OWN, args: ["serve"] });
  assert.deepEqual(findServer(around(["/home/me/bin/ucoder"])), { command: "/home/me/bin/ucoder", args: ["serve"] });
});

test("an untrusted workspace never chooses the server", () => {
  assert.deepEqual(findServer(around([OWN], { trusted: false })), { problem: HOW_TO_INSTALL });
  const path = "/home/me/project/.venv/bin:/usr/bin";
  assert.deepEqual(findServer(around([OWN], { trusted: false, path })), { problem: HOW_TO_INSTALL });
  assert.deepEqual(findServer(around([OWN, "/usr/bin/ucoder"], { trusted: false, path })), { command: "/usr/bin/ucoder", args: ["serve"] });
});

test("relative folders of the PATH are not searched: they depend on where the editor was started", () => {
  const path = "node_modules/.bin:.:/usr/bin";
  const all = ["node_modules/.bin/ucoder", "./ucoder"];
  for (const trusted of [false, true]) {
    assert.deepEqual(findServer(around(all, { trusted, path })), { problem: HOW_TO_INSTALL });
  }
});

test("nothing found is one message with a remedy", () => {
  assert.deepEqual(findServer(around([])), { problem: HOW_TO_INSTALL });
});

test("a configured path that does not exist is named", () => {
  const found = findServer(around([], { configured: ["/no/ucoder", "serve"] }));
  assert.ok("problem" in found && found.problem.includes("/no/ucoder"));
});

test("Windows paths", () => {
  const own = "C:\\p\\.venv\\Scripts\\ucoder.exe";
  assert.deepEqual(findServer(around([own], { windows: true, folders: ["C:\\p"], path: "C:\\bin;D:\\x" })), { command: own, args: ["serve"] });
});
