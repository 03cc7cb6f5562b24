/** The status bar item: the served model and adapter, or the problem. */

import * as vscode from "vscode";

export interface Status {
  state: "preparing" | "ready" | "error";
  message: string;
  model?: string;
  adapter?: string | null;
  sandboxTier?: number | null;
}

const ICONS = { preparing: "$(loading~spin)", ready: "$(sparkle)", error: "$(warning)" };

export class StatusItem implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem("ucoder.status", vscode.StatusBarAlignment.Right, 100);

  constructor() {
    this.item.name = "UCoder";
    this.item.command = "ucoder.explain";
    this.show({ state: "preparing", message: "Starting the server." });
  }

  show(status: Status): void {
    const adapter = status.adapter ? ` + ${status.adapter}` : "";
    const mode = status.state === "ready" && !status.sandboxTier ? " (not executing)" : "";
    this.item.text = `${ICONS[status.state]} UCoder${mode}`;
    this.item.tooltip = [status.model ? `${status.model}${adapter}` : "", status.message, "Click to explain the last completion."]
      .filter((line) => line !== "")
      .join("\n");
    this.item.show();
  }

  dispose(): void {
    this.item.dispose();
  }
}
