/** Restricted mode: what an untrusted workspace can choose, and what runs there. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { initializationOptions } from "../src/settings";

const manifest = JSON.parse(readFileSync(join(__dirname, "..", "..", "package.json"), "utf8"));

test("an untrusted workspace executes nothing, whatever the settings are", () => {
  const settings = { execution: true, candidates: 4 };
  assert.deepEqual(initializationOptions(settings, false), { execution: false, candidates: 4 });
  assert.deepEqual(initializationOptions(settings, true), settings);
  assert.deepEqual(initializationOptions({}, true), {});
});

test("an untrusted workspace can only turn UCoder off: no command, no model file, no folder", () => {
  const trust = manifest.capabilities.untrustedWorkspaces;
  const harmless = ["ucoder.enabled"];
  const all = Object.keys(manifest.contributes.configuration.properties);
  assert.equal(trust.supported, "limited");
  assert.deepEqual([...trust.restrictedConfigurations].sort(), all.filter((name) => !harmless.includes(name)).sort());
});
