// What users and jobs were given and used, in hours.

import { get } from "./api.js";
import { Table, el, fill } from "./dom.js";
import { hours } from "./format.js";

const GIB = 1n << 30n;
/** Processor time is in nanoseconds, amounts in ten-thousandths. */
const FIGURES = [
  ["CPU-hours", "cpu_hours", (row, places) => hours(row.cpu_amount_ns, places)],
  ["GPU-hours", "gpu_hours", (row, places) => hours(row.gpu_amount_ns, places)],
  ["GiB-hours", "memory_gib_hours", (row, places) => hours(row.memory_amount_ns, places, GIB)],
  ["CPU-hours used", "cpu_hours_used", (row, places) => hours(BigInt(row.cpu_used_ns) * 10_000n, places)],
];
const SUMMED = ["cpu_amount_ns", "gpu_amount_ns", "memory_amount_ns", "cpu_used_ns"];

function byUser(rows) {
  const users = new Map();
  for (const row of rows) {
    const sum = users.get(row.user) ?? { user: row.user, jobs: 0, ...Object.fromEntries(SUMMED.map((name) => [name, 0n])) };
    sum.jobs += 1;
    for (const name of SUMMED) sum[name] += BigInt(row[name]);
    users.set(row.user, sum);
  }
  return [...users.values()];
}

/** A field of a file that spreadsheets read: what would begin a formula there is text here. */
function field(text) {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[,"\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function csv(rows) {
  const head = ["job", "user", ...FIGURES.map(([, name]) => name)].join(",");
  const line = (row) => [field(row.submission_id), field(row.user), ...FIGURES.map(([, , of]) => of(row, 6))].join(",");
  return [head, ...rows.map(line), ""].join("\n");
}

function save(rows) {
  const address = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" }));
  el("a", { href: address, download: "usage.csv" }).click();
  URL.revokeObjectURL(address);
}

export function usageView(root) {
  let rows = [];
  const figures = FIGURES.map(([name, , of]) => ({ name, number: true, of: (row) => of(row, 3) }));
  const jobLink = (row) => el("a", { href: `#/jobs/${encodeURIComponent(row.submission_id)}` }, row.submission_id);
  const users = new Table("Usage by user", [
    { name: "User", of: (row) => row.user }, { name: "Jobs", of: (row) => row.jobs, number: true }, ...figures,
  ], (row) => row.user);
  const jobs = new Table("Usage by job", [
    { name: "Job", of: jobLink }, { name: "User", of: (row) => row.user }, ...figures,
  ], (row) => `${row.user}/${row.submission_id}`);
  const download = el("button", { click: () => save(rows), disabled: true }, "Download CSV");
  fill(root, el("div", { class: "between" }, el("h1", {}, "Usage"), download),
    el("p", { class: "quiet" }, "CPU-, GPU- and GiB-hours are what was held, used or not. CPU-hours used are processor time."),
    el("h2", {}, "By user"), users.root, el("h2", {}, "By job"), jobs.root);

  async function poll(signal) {
    rows = await get("/api/usage", signal);
    download.disabled = rows.length === 0;
    users.show(byUser(rows), "No usage has been recorded yet.");
    jobs.show(rows, "No usage has been recorded yet.");
  }
  return { poll };
}
