/** The settings that the server gets when it starts. Pure. */

/** Returns `ucoder.settings` (VS Code ignores those of an untrusted workspace) under the rule of restricted mode. */
export function initializationOptions(settings: Readonly<Record<string, unknown>>, trusted: boolean): Record<string, unknown> {
  // Nothing of an untrusted workspace is executed, whatever the settings are.
  return trusted ? { ...settings } : { ...settings, execution: false };
}
