/** Starts the server and translates: ghost text comes through the standard inline completion of the language client. */

import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import * as vscode from "vscode";
import { LanguageClient, type LanguageClientOptions, type ServerOptions } from "vscode-languageclient/node";

import { findServer, type Discovery } from "./discovery";
import { page, type Explanation } from "./explanation";
import { initializationOptions } from "./settings";
import { StatusItem, type Status } from "./status";

let client: LanguageClient | undefined;
let status: StatusItem | undefined;
let output: vscode.LogOutputChannel;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  output = vscode.window.createOutputChannel("UCoder", { log: true });
  context.subscriptions.push(
    output,
    vscode.commands.registerCommand("ucoder.explain", explain),
    vscode.commands.registerCommand("ucoder.restart", restart),
    vscode.commands.registerCommand("ucoder.showLog", () => output.show()),
    // What was ranked without execution may be executed from now on.
    vscode.workspace.onDidGrantWorkspaceTrust(restart),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("ucoder")) {
        void restart();
      }
    }),
  );
  await start();
}

export async function deactivate(): Promise<void> {
  await stop();
}

async function restart(): Promise<void> {
  await stop();
  await start();
}

async function stop(): Promise<void> {
  const stopping = client;
  client = undefined;
  status?.dispose();
  status = undefined;
  await stopping?.dispose();
}

async function start(): Promise<void> {
  const configuration = vscode.workspace.getConfiguration("ucoder");
  if (!configuration.get<boolean>("enabled", true)) {
    return;
  }
  const found = locate(configuration);
  if ("problem" in found) {
    await sayMissing(found.problem);
    return;
  }
  output.info(`Starting ${[found.command, ...found.args].join(" ")}`);
  status = new StatusItem();
  const starting = new LanguageClient("ucoder", "UCoder", serverOptions(found), clientOptions(configuration));
  client = starting;
  starting.onNotification("ucoder/status", (now: Status) => status?.show(now));
  try {
    await starting.start();
    status?.show(await starting.sendRequest<Status>("ucoder/status", {}));
  } catch (error) {
    status?.show({ state: "error", message: `The server could not be started: ${String(error)}. See UCoder: Show Log.` });
  }
}

function locate(configuration: vscode.WorkspaceConfiguration): Discovery {
  return findServer({
    configured: configuration.get<string[]>("serverCommand", []),
    folders: (vscode.workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === "file").map((folder) => folder.uri.fsPath),
    trusted: vscode.workspace.isTrusted,
    path: process.env["PATH"] ?? "",
    windows: process.platform === "win32",
    exists: existsSync,
  });
}

function serverOptions(found: { command: string; args: string[] }): ServerOptions {
  return { command: found.command, args: found.args };
}

function clientOptions(configuration: vscode.WorkspaceConfiguration): LanguageClientOptions {
  return {
    documentSelector: [{ scheme: "file", language: "python" }, { scheme: "untitled", language: "python" }],
    initializationOptions: initializationOptions(configuration.get("settings", {}), vscode.workspace.isTrusted),
    outputChannel: output,
  };
}

async function sayMissing(problem: string): Promise<void> {
  output.warn(problem);
  const settings = "Open Settings";
  if ((await vscode.window.showWarningMessage(problem, settings)) === settings) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "ucoder.serverCommand");
  }
}

async function explain(): Promise<void> {
  const explanation = await client?.sendRequest<Explanation | null>("ucoder/explainLast", {});
  if (!explanation) {
    void vscode.window.showInformationMessage("UCoder has offered no completion yet: type in a Python file and wait for ghost text.");
    return;
  }
  const panel = vscode.window.createWebviewPanel("ucoder.explanation", "Why this completion", vscode.ViewColumn.Beside, {
    enableScripts: false,
    localResourceRoots: [],
  });
  panel.webview.html = page(explanation, randomBytes(16).toString("hex"));
}
