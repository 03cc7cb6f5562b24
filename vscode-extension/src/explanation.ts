/** Renders an explanation as a page. Pure: every text is escaped, and the page cannot run scripts. */

export interface Explanation {
  text?: string;
  function?: string | null;
  decidedBy?: string;
  reason?: string;
  confidence?: number;
  tier?: string;
  model?: string;
  adapter?: string | null;
  cached?: boolean;
  winner?: number | null;
  sandboxTier?: number | null;
  candidates?: { text?: string; count?: number; meanLogprob?: number; status?: string; cluster?: number | null }[];
  probes?: string[];
  clusters?: { members?: number[]; share?: number; behaviour?: string[] }[];
  timings?: Record<string, number>;
}

/** Returns HTML that shows exactly this text. */
export function escape(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (char) => entities[char] ?? char);
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

function letter(cluster: number | null | undefined): string {
  return cluster === null || cluster === undefined ? "" : (LETTERS[cluster % LETTERS.length] ?? "");
}

function percent(share: number | undefined): string {
  return share === undefined ? "" : `${Math.round(share * 100)} %`;
}

/** Returns the page; `nonce` allows its one style sheet and nothing else. */
export function page(explanation: Explanation, nonce: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'nonce-${nonce}';">
<title>Why this completion</title>
<style nonce="${nonce}">
body { color: var(--vscode-foreground); font-family: var(--vscode-font-family); padding: 0 1.5em 2em; }
pre, td.code { font-family: var(--vscode-editor-font-family); white-space: pre-wrap; }
pre { background: var(--vscode-textCodeBlock-background); padding: 0.8em; border-radius: 4px; }
table { border-collapse: collapse; margin: 0.5em 0 1.5em; }
th, td { text-align: left; vertical-align: top; padding: 0.25em 0.9em 0.25em 0; border-bottom: 1px solid var(--vscode-panel-border); }
tr.winner { background: var(--vscode-editor-selectionHighlightBackground); }
.dim { color: var(--vscode-descriptionForeground); }
</style>
</head>
<body>
<h1>Why this completion</h1>
<pre>${escape((explanation.text ?? "").replace(/^\n/, ""))}</pre>
<p><strong>Chosen by ${escape(explanation.decidedBy ?? "?")}</strong>, confidence ${percent(explanation.confidence)}. ${escape(explanation.reason ?? "")}</p>
${candidates(explanation)}
${behaviour(explanation)}
${footer(explanation)}
</body>
</html>`;
}

function candidates(explanation: Explanation): string {
  const rows = (explanation.candidates ?? []).map((candidate, index) => {
    const winner = index === explanation.winner;
    return `<tr${winner ? ' class="winner"' : ""}><td>${winner ? "→ " : ""}${index}</td><td>${candidate.count ?? ""}</td><td>${letter(candidate.cluster)}</td><td>${candidate.meanLogprob?.toFixed(2) ?? ""}</td><td>${escape(candidate.status ?? "")}</td><td class="code">${escape((candidate.text ?? "").trim())}</td></tr>`;
  });
  return `<h2>Candidates</h2>
<table><tr><th>#</th><th>samples</th><th>cluster</th><th>log-prob</th><th>reached</th><th>text</th></tr>
${rows.join("\n")}
</table>`;
}

function behaviour(explanation: Explanation): string {
  const clusters = explanation.clusters ?? [];
  if (clusters.length === 0) {
    return "<p>No behaviour was compared for this completion.</p>";
  }
  const heads = clusters.map((cluster, index) => `<th>${letter(index)} (${(cluster.members ?? []).join(", ")}), ${percent(cluster.share)}</th>`);
  const rows = (explanation.probes ?? []).map((probe, row) => {
    const cells = clusters.map((cluster) => `<td class="code">${escape(cluster.behaviour?.[row] ?? "")}</td>`);
    return `<tr><td class="code">${escape(probe)}</td>${cells.join("")}</tr>`;
  });
  return `<h2>Behaviour on ${rows.length} probe inputs</h2>
<table><tr><th>probe input</th>${heads.join("")}</tr>
${rows.join("\n")}
</table>`;
}

function footer(explanation: Explanation): string {
  const steps = Object.entries(explanation.timings ?? {}).map(([name, value]) => `${escape(name.replace(/_ms$/, ""))} ${Number(value).toFixed(1)} ms`);
  const adapter = explanation.adapter ? `, adapter ${escape(explanation.adapter.split("@")[0] ?? "")}` : "";
  const where = explanation.sandboxTier ? `Executed in the sandbox, tier ${explanation.sandboxTier}.` : "Nothing was executed.";
  return `<p class="dim">${escape(explanation.model ?? "")}${adapter}. ${where}${explanation.cached ? " Answered from the cache." : ""}<br>${steps.join(" · ")}</p>`;
}
