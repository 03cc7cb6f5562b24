/** Keeps at most one server, also across overlapping restarts. Pure: the caller passes the function that launches one. */

export interface Stoppable {
  /** Ends the server in any state. A rejection is only reported. */
  stop(): Promise<void>;
}

export class Lifecycle<S extends Stoppable> {
  private running: S | undefined;
  private queue: Promise<void> = Promise.resolve();

  /** `launch` starts a server without waiting for it, or returns undefined; `report` gets errors. */
  constructor(
    private readonly launch: () => S | undefined,
    private readonly report: (error: unknown) => void,
  ) {}

  get current(): S | undefined {
    return this.running;
  }

  /** Ends the running server, then launches one with the settings and the trust of that moment. */
  restart(): Promise<void> {
    return this.next(() => {
      this.running = this.launch();
    });
  }

  stop(): Promise<void> {
    return this.next(() => undefined);
  }

  /** Ends the running server and then runs this step, after all earlier calls. */
  private next(step: () => void): Promise<void> {
    this.queue = this.queue
      .then(async () => {
        const ending = this.running;
        this.running = undefined;
        await ending?.stop();
      })
      .catch(this.report)
      .then(step)
      .catch(this.report);
    return this.queue;
  }
}
