/**
 * The VSIX in a real VS Code in a real browser: type, see ghost text, accept it, open the explanation.
 *
 *   CODE_SERVER_DIR=… node e2e/run.mjs VSIX SERVER-COMMAND-AS-JSON SCRATCH-FOLDER SCREENSHOT-FOLDER
 *
 * Prints one JSON object with what was seen; exits with 1 and one sentence when a step fails.
 */

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { join } from "node:path";

const [vsix, serverCommand, scratch, pictures] = process.argv.slice(2);
const home = process.env["CODE_SERVER_DIR"];
const { chromium } = createRequire(join(home, "package.json"))("playwright-core");
const entry = join(home, "node_modules/code-server/out/node/entry.js");
const STUB = 'def is_even(n: int) -> bool:\n    """Return True if n is even."""\n';
const PATIENCE_MS = 60_000;

const folders = Object.fromEntries(["data", "extensions", "workspace", "home"].map((name) => [name, join(scratch, name)]));
for (const folder of [...Object.values(folders), pictures, join(folders.data, "User")]) {
  mkdirSync(folder, { recursive: true });
}
writeFileSync(join(folders.workspace, "numbers.py"), STUB);
writeFileSync(
  join(folders.data, "User", "settings.json"),
  JSON.stringify({
    "security.workspace.trust.enabled": false,
    "ucoder.serverCommand": JSON.parse(serverCommand),
    "workbench.startupEditor": "none",
    "workbench.colorTheme": "Default Light Modern",
    "editor.quickSuggestions": { other: "off", comments: "off", strings: "off" },
    "editor.minimap.enabled": false,
    "chat.commandCenter.enabled": false,
  }),
);

const flags = ["--user-data-dir", folders.data, "--extensions-dir", folders.extensions];
const environment = { ...process.env, HOME: folders.home };
const installed = spawnSync("node", [entry, ...flags, "--install-extension", vsix], { env: environment, encoding: "utf8" });
if (installed.status !== 0) {
  console.error(`The VSIX could not be installed: ${installed.stderr}`);
  process.exit(1);
}

const port = await freePort();
const server = spawn(
  "node",
  [entry, "--auth", "none", "--bind-addr", `127.0.0.1:${port}`, "--disable-telemetry", "--disable-update-check", ...flags, folders.workspace],
  { env: environment, stdio: ["ignore", "ignore", "inherit"] },
);
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
let page;
try {
  await listening(port);
  page = await browser.newPage({ viewport: { width: 1280, height: 760 } });
  const seen = await session(page);
  console.log(JSON.stringify(seen));
} catch (error) {
  await page?.screenshot({ path: join(pictures, "failure.png") });
  console.error(`The editor test failed: ${error}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  server.kill("SIGTERM");
}

async function session(page) {
  await page.goto(`http://127.0.0.1:${port}/?folder=${folders.workspace}`);
  await page.locator(".monaco-workbench").waitFor({ timeout: PATIENCE_MS });

  // 1. Open the file; the extension starts the server, which says when it is ready.
  await page.locator('.explorer-folders-view [aria-label^="numbers.py"]').dblclick({ timeout: PATIENCE_MS });
  await page.locator(".view-line").first().waitFor({ timeout: PATIENCE_MS });
  const item = page.locator("#ucoder\\.ucoder\\.ucoder\\.status, [id$='ucoder.status']");
  await item.filter({ hasNotText: "$(loading" }).waitFor({ timeout: PATIENCE_MS });
  await page.waitForFunction(() => {
    const label = document.querySelector("[id$='ucoder.status']");
    return label !== null && label.querySelector(".codicon-sparkle") !== null;
  }, undefined, { timeout: PATIENCE_MS });

  // 2. Type, and wait for ghost text.
  await page.locator(".view-lines").click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type("    return", { delay: 40 });
  const ghost = page.locator(".ghost-text-decoration, .ghost-text");
  await ghost.first().waitFor({ timeout: PATIENCE_MS });
  await page.waitForTimeout(300);
  const ghostText = (await ghost.allInnerTexts()).join("").replaceAll("\u00a0", " ");
  await page.screenshot({ path: join(pictures, "ghost-text.png") });

  // 3. Accept it.
  await page.keyboard.press("Tab");
  await page.waitForTimeout(500);
  const text = (await page.locator(".view-lines").innerText()).replaceAll("\u00a0", " ");

  // 4. Ask why.
  await page.keyboard.press("F1");
  await page.keyboard.type("UCoder: Explain Last Completion", { delay: 10 });
  await page.keyboard.press("Enter");
  const explanation = await explanationText(page);
  await page.screenshot({ path: join(pictures, "explanation.png") });
  return { ghostText, text, explanation };
}

async function explanationText(page) {
  const end = Date.now() + PATIENCE_MS;
  while (Date.now() < end) {
    for (const frame of page.frames()) {
      const body = await frame.locator("body").innerText({ timeout: 1000 }).catch(() => "");
      if (body.includes("Why this completion") && body.includes("Candidates")) {
        return body;
      }
    }
    await page.waitForTimeout(200);
  }
  throw new Error("the explanation did not appear");
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function listening(port) {
  const end = Date.now() + PATIENCE_MS;
  while (Date.now() < end) {
    if (await fetch(`http://127.0.0.1:${port}/healthz`).then(() => true, () => false)) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error("code-server did not start");
}
