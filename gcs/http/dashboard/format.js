// Figures, times and ids as people read them.

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) [count, at] = [count / 1024, at + 1];
  return `${at === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[at]}`;
}

export function amount(name, value) {
  return name.endsWith("memory") ? bytes(value) : String(Math.round(value * 10_000) / 10_000);
}

export function resourceName(name) {
  return { memory: "Memory", object_store_memory: "Object store", GPU: "GPUs", CPU: "CPUs" }[name] ?? name;
}

/** Resources that people use up, in a fixed order. What only marks a node (`node:...`) is nothing of the kind. */
export function resourceNames(total) {
  const first = ["CPU", "GPU", "memory", "object_store_memory"];
  const rest = Object.keys(total).filter((name) => !first.includes(name) && !name.startsWith("node:"));
  return [...first.filter((name) => name in total), ...rest.sort()];
}

const STATES = {
  PENDING_ARGS_AVAIL: "waits for arguments",
  PENDING_NODE_ASSIGNMENT: "waits for a worker",
  SUBMITTED_TO_WORKER: "at a worker",
  PENDING_CREATION: "being made",
  DEPENDENCIES_UNREADY: "waits for arguments",
};

export function stateName(state) {
  return STATES[state] ?? state.replaceAll("_", " ").toLowerCase();
}

export function duration(ms) {
  if (ms > 0 && ms < 1000) return `${ms} ms`;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  if (minutes) return `${minutes} min ${seconds % 60} s`;
  return seconds < 10 && ms % 1000 ? `${(ms / 1000).toFixed(1)} s` : `${seconds} s`;
}

/** How long from `start` to `end`, or to now by whole seconds. */
export function took(start, end) {
  if (!start) return null;
  return end ? duration(end - start) : duration(Math.floor((Date.now() - start) / 1000) * 1000);
}

export function moment(ms) {
  if (!ms) return null;
  const at = new Date(ms);
  const today = at.toDateString() === new Date().toDateString();
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  return at.toLocaleString([], today ? time : { year: "numeric", month: "short", day: "numeric", ...time });
}

export function short(id) {
  return id ? id.slice(0, 12) : null;
}

const HOUR = 3_600_000_000_000n * 10_000n;

/** Ten-thousandths times nanoseconds, as text, in hours of `unit`, exact and cut after `places`. */
export function hours(text, places, unit = 1n) {
  const scale = 10n ** BigInt(places);
  const all = ((typeof text === "bigint" ? text : BigInt(text)) * scale) / (HOUR * unit);
  return `${all / scale}.${String(all % scale).padStart(places, "0")}`;
}
