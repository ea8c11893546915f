// Tasks and actors, from the state API.

import { Missing, get } from "./api.js";
import { Table, badge, choice, el, fill, searchBox } from "./dom.js";
import { moment, short, stateName, took } from "./format.js";

const LIMIT = 500;

const id = (value) => el("code", { title: value }, short(value));
const job = (row) => row.submission_id ?? row.job_id;

const TASKS = {
  title: "Tasks",
  path: "tasks",
  key: (row) => `${row.task_id}/${row.attempt_number ?? 0}`,
  states: ["PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT", "SUBMITTED_TO_WORKER", "RUNNING", "FINISHED", "FAILED"],
  columns: [
    { name: "Task", of: (row) => row.name ?? row.func_or_class_name, wide: true },
    { name: "State", of: (row) => badge(row.state) },
    { name: "Id", of: (row) => id(row.task_id) },
    { name: "Job", of: job },
    { name: "Process", of: (row) => row.worker_pid ?? row.pid, number: true },
    { name: "Started", of: (row) => moment(row.start_time_ms) },
    { name: "Took", of: (row) => took(row.start_time_ms, row.end_time_ms), number: true },
    { name: "Error", of: (row) => row.error_message ?? row.error_type, wide: true },
  ],
};

const ACTORS = {
  title: "Actors",
  path: "actors",
  key: (row) => row.actor_id,
  states: ["DEPENDENCIES_UNREADY", "PENDING_CREATION", "ALIVE", "RESTARTING", "DEAD"],
  columns: [
    { name: "Class", of: (row) => row.class_name, wide: true },
    { name: "State", of: (row) => badge(row.state) },
    { name: "Name", of: (row) => row.name },
    { name: "Id", of: (row) => id(row.actor_id) },
    { name: "Job", of: job },
    { name: "Process", of: (row) => row.pid, number: true },
    { name: "Node", of: (row) => short(row.node_id) },
  ],
};

/** Texts and numbers that a search looks through. */
const texts = (row) => Object.values(row).filter((value) => typeof value === "string" || typeof value === "number");

function stateView({ title, path, key, states, columns }) {
  return (root, _closing, look) => {
    let [rows, total, words, state] = [[], 0, "", ""];
    const table = new Table(title, columns, key);
    const count = el("span", { class: "quiet", role: "status" });
    const options = [["", "All states"], ...states.map((name) => [name, stateName(name)])];
    fill(root, el("h1", {}, `${title} `, count),
      el("div", { class: "tools" },
        searchBox("Search by name, id, job or process", (text) => ((words = text), show())),
        choice("State", options, (value) => ((state = value), look()))),
      table.root);

    function show() {
      const has = (row) => texts(row).some((text) => String(text).toLowerCase().includes(words));
      const found = words ? rows.filter(has) : rows;
      const all = total > rows.length ? `${rows.length.toLocaleString()} of ${total.toLocaleString()}` : rows.length;
      fill(count, words ? `${found.length} found in ${all}` : all);
      table.show(found, words || state ? `No ${path} match.` : `There are no ${path}.`);
    }

    async function poll(signal) {
      let answer;
      try {
        answer = await get(`/api/v0/${path}?limit=${LIMIT}${state && `&state=${state}`}`, signal);
      } catch (error) {
        if (!(error instanceof Missing)) throw error;
        return table.show([], `This version of the head does not list ${path}: it has no /api/v0/${path}.`);
      }
      // Ray's state API wraps the same once more.
      const page = answer.data?.result ?? answer.result;
      [rows, total] = [page.result, page.total];
      show();
    }
    return { poll };
  };
}

export const tasksView = stateView(TASKS);
export const actorsView = stateView(ACTORS);
