/** One server: its process, the client that speaks with it and its status bar item, all of which `stop` ends for certain. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { CloseAction, LanguageClient, type LanguageClientOptions } from "vscode-languageclient/node";

import type { Stoppable } from "./lifecycle";
import { StatusItem, type Status } from "./status";

/** For a start that hangs; one that works takes seconds. */
const START_MS = 10_000;

export interface Command {
  command: string;
  args: string[];
  /** Current folder of the server. Never the workspace: Python may take modules from it. */
  cwd: string;
}

export class Server implements Stoppable {
  readonly client: LanguageClient;
  private readonly item = new StatusItem();
  private readonly started: Promise<void>;
  private process: ChildProcess | undefined;
  private ending = false;

  /** It starts at once, and nobody waits for it: the status bar says how far it is, and what went wrong. */
  constructor(command: Command, options: LanguageClientOptions) {
    this.client = new LanguageClient("ucoder", "UCoder", () => this.spawn(command), {
      ...options,
      // The status bar says why a start failed; a box for each attempt would only be in the way.
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

  /** The client can end a running server only, and shows an error when one is ended before. The process ends in any case. */
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
    this.process?.kill(); // the client starts one again whose connection broke, be it alive or not
    this.process = spawn(command, args, { cwd });
    await once(this.process, "spawn");
    return this.process;
  }
}
