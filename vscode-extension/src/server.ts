/** One server: its process, its client and its status bar item; `stop` always ends all of them. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { CloseAction, LanguageClient, type LanguageClientOptions } from "vscode-languageclient/node";

import type { Stoppable } from "./lifecycle";
import { StatusItem, type Status } from "./status";

/** Limit for a start that hangs; a normal one takes seconds. */
const START_MS = 10_000;

export interface Command {
  command: string;
  args: string[];
  /** Current folder of the server. Never the workspace: Python may import modules from it. */
  cwd: string;
}

export class Server implements Stoppable {
  readonly client: LanguageClient;
  private readonly item = new StatusItem();
  private readonly started: Promise<void>;
  private process: ChildProcess | undefined;
  private ending = false;

  /** Starts at once and does not wait: the status bar shows progress and errors. */
  constructor(command: Command, options: LanguageClientOptions) {
    this.client = new LanguageClient("ucoder", "UCoder", () => this.spawn(command), {
      ...options,
      // The status bar shows why a start failed; a message box for every attempt would disturb.
      initializationFailedHandler: () => false,
      errorHandler: {
        error: (...what) => usual.error(...what),
        closed: () => (this.ending ? { action: CloseAction.DoNotRestart, handled: true } : usual.closed()),
      },
    });
    const usual = this.client.createDefaultErrorHandler();
    this.client.onNotification("ucoder/status", (now: Status) => this.item.show(now));
    this.started = this.start();
  }

  /** Ends the process in any case. Waits for the start first: the client shows an error when it ends a server that is not running. */
  async stop(): Promise<void> {
    this.ending = true;
    this.item.dispose();
    await Promise.race([this.started, sleep(START_MS, undefined, { ref: false })]);
    try {
      if (this.client.isRunning()) {
        await this.client.dispose();
      }
    } finally {
      this.process?.kill();
    }
  }

  private async start(): Promise<void> {
    try {
      await this.client.start();
      this.item.show(await this.client.sendRequest<Status>("ucoder/status", {}));
    } catch (error) {
      this.item.show({ state: "error", message: `The server could not be started: ${String(error)}. See UCoder: Show Log.` });
    }
  }

  private async spawn({ command, args, cwd }: Command): Promise<ChildProcess> {
    this.process?.kill(); // after a broken connection the client restarts it, even if the old process is alive
    this.process = spawn(command, args, { cwd });
    await once(this.process, "spawn");
    return this.process;
  }
}
