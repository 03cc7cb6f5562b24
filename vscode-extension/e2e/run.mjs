/**
 * The VSIX in a real VS Code in a real browser: open a workspace that is not trusted, trust it, type, see ghost text,
 * accept it, open the explanation.
 *
 *   CODE_SERVER_DIR=… node e2e/run.mjs VSIX SERVER-COMMAND-AS-JSON SCRATCH-FOLDER SCREENSHOT-FOLDER
 *
 * Prints one JSON object with what was seen; exits with 1 and one sentence when a step fails.
 */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
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
const own = join(folders.workspace, ".vscode", "settings.json");
for (const folder of [...Object.values(folders), pictures, join(folders.data, "User"), join(own, "..")]) {
  mkdirSync(folder, { recursive: true });
}
writeFileSync(join(folders.workspace, "numbers.py"), STUB);
// What a workspace nobody has read may try: settings of its own, and a module in place of the server's.
writeFileSync(own, JSON.stringify({ "ucoder.settings": { model: "/no/such.gguf", execution: true } }));
const ran = join(scratch, "ran");
writeFileSync(join(folders.workspace, "ucoder_lsp.py"), `open(${JSON.stringify(ran)}, "w")\n`);
writeFileSync(
  join(folders.data, "User", "settings.json"),
  JSON.stringify({
    "security.workspace.trust.startupPrompt": "never",
    "security.workspace.trust.banner": "never",
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

  // 1. Open the file; the extension starts the server, which says when it is ready. Nothing is executed here.
  await page.locator('.explorer-folders-view [aria-label^="numbers.py"]').dblclick({ timeout: PATIENCE_MS });
  await page.locator(".view-line").first().waitFor({ timeout: PATIENCE_MS });
  const restricted = await ready(page);
  await page.screenshot({ path: join(pictures, "restricted.png") });

  // 2. Trust it, and restart twice at once: one server is left, which executes.
  const before = servers();
  writeFileSync(own, "{}");
  await command(page, "Workspaces: Manage Workspace Trust");
  await page.locator(".workspace-trust-editor").getByRole("button", { name: "Trust", exact: true }).click({ timeout: PATIENCE_MS });
  await command(page, "UCoder: Restart Server");
  await command(page, "UCoder: Restart Server");
  await until("one server is left", () => servers().length === 1 && !before.includes(servers()[0]));
  const trusted = await ready(page);
  const left = servers().length;
  const errors = await page.locator(".notification-toast .codicon-error").count();
  await page.locator('.explorer-folders-view [aria-label^="numbers.py"]').dblclick({ timeout: PATIENCE_MS });
  await page.locator(".view-line").first().waitFor({ timeout: PATIENCE_MS });

  // 3. Type, and wait for ghost text.
  await page.locator(".view-lines").click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type("    return", { delay: 40 });
  const ghost = page.locator(".ghost-text-decoration, .ghost-text");
  await ghost.first().waitFor({ timeout: PATIENCE_MS });
  await page.waitForTimeout(300);
  const ghostText = (await ghost.allInnerTexts()).join("").replaceAll("\u00a0", " ");
  await page.screenshot({ path: join(pictures, "ghost-text.png") });

  // 4. Accept it.
  await page.keyboard.press("Tab");
  await page.waitForTimeout(500);
  const text = (await page.locator(".view-lines").innerText()).replaceAll("\u00a0", " ");

  // 5. Ask why.
  await command(page, "UCoder: Explain Last Completion");
  const explanation = await explanationText(page);
  await page.screenshot({ path: join(pictures, "explanation.png") });
  return { restricted, trusted, servers: left, errors, ranFromWorkspace: existsSync(ran), ghostText, text, explanation };
}

/** The status bar item's text, once a server is ready. */
async function ready(page) {
  const item = page.locator("[id$='ucoder.status']");
  await item.locator(".codicon-sparkle").waitFor({ timeout: PATIENCE_MS });
  return (await item.innerText()).trim();
}

async function command(page, name) {
  await page.keyboard.press("F1");
  await page.keyboard.type(name, { delay: 10 });
  await page.locator(".quick-input-list .monaco-list-row").filter({ hasText: name }).first().waitFor({ timeout: PATIENCE_MS });
  await page.keyboard.press("Enter");
}

/** Process numbers of the servers of this session. */
function servers() {
  const line = [...JSON.parse(serverCommand), ""].join("\0");
  return readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(join("/proc", name, "cmdline"), "utf8") === line;
    } catch {
      return false; // it has ended meanwhile
    }
  });
}

async function until(what, holds) {
  const end = Date.now() + PATIENCE_MS;
  while (!holds()) {
    if (Date.now() > end) {
      throw new Error(`in vain: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
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
