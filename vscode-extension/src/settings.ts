/** The settings that the server gets when it starts. Pure. */

/** Returns `ucoder.settings`, without execution in an untrusted workspace. VS Code itself ignores the settings of such a workspace. */
export function initializationOptions(settings: Readonly<Record<string, unknown>>, trusted: boolean): Record<string, unknown> {
  // Nothing of an untrusted workspace is executed, whatever the settings are.
  return trusted ? { ...settings } : { ...settings, execution: false };
}
