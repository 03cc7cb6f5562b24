/** What the server is told when it starts. Pure. */

/** `ucoder.settings` (VS Code itself drops a workspace's value while it is not trusted), and the rule of restricted mode. */
export function initializationOptions(settings: Readonly<Record<string, unknown>>, trusted: boolean): Record<string, unknown> {
  // Nothing of an untrusted workspace is executed, whatever the settings say.
  return trusted ? { ...settings } : { ...settings, execution: false };
}
