/** At most one server, whatever is asked while another one starts or ends. Pure: the caller says how one is launched. */

export interface Stoppable {
  /** Ends it, whatever it is doing; a rejection is only a complaint. */
  stop(): Promise<void>;
}

export class Lifecycle<S extends Stoppable> {
  private running: S | undefined;
  private queue: Promise<void> = Promise.resolve();

  /** `launch` starts a server without waiting for it, or returns undefined where none may run or none was found. */
  constructor(
    private readonly launch: () => S | undefined,
    private readonly complain: (error: unknown) => void,
  ) {}

  get current(): S | undefined {
    return this.running;
  }

  /** End the server that runs, then launch one with the settings and the trust of that moment. */
  restart(): Promise<void> {
    return this.next(() => {
      this.running = this.launch();
    });
  }

  stop(): Promise<void> {
    return this.next(() => undefined);
  }

  /** After everything asked before: end the server that runs, then do this. */
  private next(step: () => void): Promise<void> {
    this.queue = this.queue
      .then(async () => {
        const ending = this.running;
        this.running = undefined;
        await ending?.stop();
      })
      .catch(this.complain)
      .then(step)
      .catch(this.complain);
    return this.queue;
  }
}
