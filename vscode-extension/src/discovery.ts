/** Chooses the command that starts the server. Pure: the caller describes the files, the folders and their trust. */

import { posix, win32 } from "node:path";

export interface Surroundings {
  /** The setting `ucoder.serverCommand`; VS Code ignores the value of an untrusted workspace. */
  configured: readonly string[];
  /** The workspace's folders. */
  folders: readonly string[];
  trusted: boolean;
  /** The value of PATH. */
  path: string;
  windows: boolean;
  exists: (file: string) => boolean;
}

export type Discovery = { command: string; args: string[] } | { problem: string };

export const HOW_TO_INSTALL =
  "UCoder's server was not found: run `pip install /path/to/ucoder` (your clone of it) in the .venv of this workspace, or run " +
  '`make setup` in the clone and set ucoder.serverCommand to ["/path/to/ucoder/.venv/bin/ucoder", "serve"].';

/** Returns the configured command, else the one in the workspace's .venv (if trusted), else the one on the PATH. */
export function findServer(around: Surroundings): Discovery {
  const [command, ...args] = around.configured;
  if (command !== undefined) {
    const isPath = command.includes("/") || command.includes("\\");
    if (isPath && !around.exists(command)) {
      return { problem: `The setting ucoder.serverCommand names ${command}, which does not exist: correct or clear it.` };
    }
    return { command, args };
  }
  // A program of an untrusted workspace is never started.
  const inFolders = around.trusted
    ? around.folders.map((folder) => (around.windows ? `${folder}\\.venv\\Scripts\\ucoder.exe` : `${folder}/.venv/bin/ucoder`))
    : [];
  const onPath = around.path
    .split(around.windows ? ";" : ":")
    .filter((folder) => (around.windows ? win32 : posix).isAbsolute(folder) && !isInside(folder, around))
    .map((folder) => (around.windows ? `${folder}\\ucoder.exe` : `${folder}/ucoder`));
  const found = [...inFolders, ...onPath].find(around.exists);
  return found === undefined ? { problem: HOW_TO_INSTALL } : { command: found, args: ["serve"] };
}

/** Returns true if a folder of the PATH belongs to an untrusted workspace. */
function isInside(folder: string, around: Surroundings): boolean {
  return !around.trusted && around.folders.some((root) => folder === root || folder.startsWith(root + (around.windows ? "\\" : "/")));
}
