import assert from "node:assert/strict";
import { test } from "node:test";

import { escape, page, type Explanation } from "../src/explanation";

const HOSTILE = `</td></pre><script>alert("1")</script><img src=x onerror='x'>&amp;`;

const FULL: Explanation = {
  text: HOSTILE, function: "f", decidedBy: HOSTILE, reason: HOSTILE, confidence: 0.625, tier: "agrees", model: HOSTILE, adapter: `${HOSTILE}@1`,
  winner: 0, sandboxTier: 1, probes: [HOSTILE],
  candidates: [{ text: HOSTILE, count: 5, meanLogprob: -0.48, status: HOSTILE, cluster: 0 }],
  clusters: [{ members: [0], share: 0.625, behaviour: [HOSTILE] }],
  timings: { [`${HOSTILE}_ms`]: 1.25, total_ms: 300 },
};

test("no text of a candidate ever becomes markup", () => {
  const html = page(FULL, "abc");
  assert.equal(html.includes("<script"), false);
  assert.equal(html.includes("<img"), false);
  assert.equal(html.includes("onerror='"), false);
  assert.ok(html.includes(escape(HOSTILE)));
});

test("the page cannot load or run anything", () => {
  assert.ok(page(FULL, "abc").includes(`content="default-src 'none'; style-src 'nonce-abc';"`));
});

test("the winner, its share and the times are shown", () => {
  const html = page({ ...FULL, adapter: null, timings: { decode_ms: 12.345 } }, "abc");
  assert.match(html, /<tr class="winner"><td>→ 0<\/td><td>5<\/td><td>A<\/td><td>-0.48<\/td>/);
  assert.match(html, /A \(0\), 63 %/);
  assert.match(html, /decode 12\.3 ms/);
});

test("missing fields are left blank", () => {
  const html = page({}, "abc");
  assert.ok(html.includes("No behaviour was compared"));
  assert.equal(html.includes("undefined"), false);
  assert.equal(html.includes("NaN"), false);
});
