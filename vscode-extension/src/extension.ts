/** Connects VS Code to the server; ghost text comes through the language client's standard inline completion. */

import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import * as vscode from "vscode";
import type { LanguageClientOptions } from "vscode-languageclient/node";

import { findServer, type Discovery } from "./discovery";
import { page, type Explanation } from "./explanation";
import { Lifecycle } from "./lifecycle";
import { Server } from "./server";
import { initializationOptions } from "./settings";

let lifecycle: Lifecycle<Server> | undefined;
let output: vscode.LogOutputChannel;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  output = vscode.window.createOutputChannel("UCoder", { log: true });
  const servers = new Lifecycle(() => launch(context.extensionPath), (error) => output.warn(String(error)));
  lifecycle = servers;
  context.subscriptions.push(
    output,
    vscode.commands.registerCommand("ucoder.explain", explain),
    vscode.commands.registerCommand("ucoder.restart", () => servers.restart()),
    vscode.commands.registerCommand("ucoder.showLog", () => output.show()),
    // From now on candidates may be executed.
    vscode.workspace.onDidGrantWorkspaceTrust(() => servers.restart()),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("ucoder")) {
        void servers.restart();
      }
    }),
  );
  await servers.restart();
}

export async function deactivate(): Promise<void> {
  await lifecycle?.stop();
}

/** Starts a server with the current settings and trust; returns undefined where UCoder is disabled or no server is found. */
function launch(folder: string): Server | undefined {
  const configuration = vscode.workspace.getConfiguration("ucoder");
  if (!configuration.get<boolean>("enabled", true)) {
    return undefined;
  }
  const found = locate(configuration);
  if ("problem" in found) {
    void showMissing(found.problem); // not awaited: its message may stay open for hours
    return undefined;
  }
  output.info(`Starting ${[found.command, ...found.args].join(" ")}`);
  return new Server({ ...found, cwd: folder }, clientOptions(configuration));
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

function clientOptions(configuration: vscode.WorkspaceConfiguration): LanguageClientOptions {
  return {
    documentSelector: [{ scheme: "file", language: "python" }, { scheme: "untitled", language: "python" }],
    initializationOptions: initializationOptions(configuration.get("settings", {}), vscode.workspace.isTrusted),
    outputChannel: output,
  };
}

async function showMissing(problem: string): Promise<void> {
  output.warn(problem);
  const settings = "Open Settings";
  if ((await vscode.window.showWarningMessage(problem, settings)) === settings) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "ucoder.serverCommand");
  }
}

async function explain(): Promise<void> {
  const explanation = await lifecycle?.current?.client.sendRequest<Explanation | null>("ucoder/explainLast", {});
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
