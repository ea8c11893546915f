"""`iosdk.util.state` against a socket that answers what the test says: arguments, rows, errors; no cluster runs."""

import json
import os
import socket
import threading
import warnings

import pytest

pytestmark = pytest.mark.iosdk

TASK = {
    "task_id": "0a07",
    "attempt_number": 1,
    "name": "train",
    "type": "NORMAL_TASK",
    "state": "RUNNING",
    "worker_pid": 9,
    "actor_id": None,
    "of_a_later_release": True,
}


class Answers:
    """Listens as a head does, in `data`; gives each request the next of `answers` and notes it in `asked`."""

    def __init__(self, data):
        self.data = data
        self.answers = []
        self.asked = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(data, "http.sock"))
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        while True:
            stream, _ = self.listener.accept()
            with stream, stream.makefile("rb") as lines:
                asked = lines.readline().decode()
                if not asked:
                    return  # `end` has only connected
                while lines.readline().strip():
                    pass
                self.asked.append(asked.split()[1])
                answer = self.answers.pop(0)
                if answer is None:
                    stream.recv(1)  # until the client gives up
                    continue
                status, body = answer
                stream.sendall(b"HTTP/1.1 %d -\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    def says(self, result, status=200):
        self.answers.append((status, json.dumps({"result": True, "msg": "", "data": {"result": result}}).encode()))

    def lists(self, *rows, missing="", **numbers):
        count = len(rows)
        about = {"total": count, "num_after_truncation": count, "num_filtered": count, "warnings": []}
        self.says({**about, "result": rows, "partial_failure_warning": missing, **numbers})

    def refuses(self, status, text):
        self.answers.append((status, json.dumps({"result": False, "msg": text, "data": {}}).encode()))

    def end(self):
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(os.path.join(self.data, "http.sock"))
        self.thread.join(10)
        self.listener.close()
        assert not self.thread.is_alive()


@pytest.fixture
def state(alone, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("IOSDK_ADDRESS", raising=False)
    return alone.util.state


@pytest.fixture
def head(state, monkeypatch, tmp_path):
    answers = Answers(str(tmp_path))
    monkeypatch.setenv("IOSDK_ADDRESS", str(tmp_path))
    yield answers
    answers.end()


def test_rows_have_attributes_and_items(state, head):
    head.lists(TASK)
    (task,) = state.list_tasks()
    assert type(task).__name__ == "TaskState" and isinstance(task, state.TaskState)
    assert (task.task_id, task["worker_pid"], task.get("name"), task.end_time_ms) == ("0a07", 9, "train", None)
    assert task.get("nothing", 5) == 5 and "of_a_later_release" not in task.asdict()
    with pytest.raises(KeyError, match="nothing"):
        task["nothing"]
    assert head.asked == ["/api/v0/tasks?limit=100"]


def test_each_kind_is_asked_for_by_its_name(state, head):
    for kind in ("tasks", "actors", "objects", "nodes", "jobs", "workers"):
        head.lists({"state": "X", "status": "X"})
        (row,) = getattr(state, f"list_{kind}")(address="auto", limit=7, timeout=5, detail=True)
        assert row["status" if kind == "jobs" else "state"] == "X"
        assert head.asked.pop() == f"/api/v0/{kind}?limit=7"
        head.says({"state": "X", "status": "X"})
        one = getattr(state, f"get_{kind[:-1]}")("a/b ?")
        assert type(one) is type(row)
        assert head.asked.pop() == f"/api/v0/{kind}/a%2Fb%20%3F"
    for kind in ("tasks", "actors", "objects"):
        counts = {"cluster": {"summary": {"f": {"state_counts": {"RUNNING": 2}}}}}
        head.says({"node_id_to_summary": counts})
        assert getattr(state, f"summarize_{kind}")() == counts
        assert head.asked.pop() == f"/api/v0/{kind}/summarize"


def test_filters_travel(state, head):
    head.lists()
    filters = [("state", "=", "RUNNING"), ("name", "!=", "a&b"), ("pid", "=", 5), ("is_head_node", "=", True)]
    assert state.list_nodes(filters=filters) == []
    expected = "limit=100" + "".join(
        f"&filter_keys={key}&filter_predicates={predicate}&filter_values={value}"
        for key, predicate, value in [
            ("state", "%3D", "RUNNING"),
            ("name", "%21%3D", "a%26b"),
            ("pid", "%3D", "5"),
            ("is_head_node", "%3D", "true"),
        ]
    )
    assert head.asked == [f"/api/v0/nodes?{expected}"]


def test_the_object_as_each_process_knows_it(state, head):
    head.lists({"object_id": "07", "pid": 1}, {"object_id": "07", "pid": 2})
    assert [row.pid for row in state.get_objects("07")] == [1, 2]
    expected = "limit=10000&filter_keys=object_id&filter_predicates=%3D&filter_values=07"
    assert head.asked == [f"/api/v0/objects?{expected}"]


def test_an_answer_that_is_not_whole_raises_or_warns(state, head):
    from iosdk.util.state.exception import RayStateApiException

    head.lists(TASK, missing="pid 77 did not answer")
    with pytest.raises(RayStateApiException, match="pid 77"):
        state.list_tasks()
    head.lists(TASK, missing="pid 77 did not answer")
    with pytest.warns(UserWarning, match="pid 77") as caught:
        assert len(state.list_tasks(raise_on_missing_output=False)) == 1
    assert caught[0].filename == __file__
    head.lists(TASK, total=2_345, num_after_truncation=2)
    with pytest.raises(RayStateApiException, match=r"2 of 2,345 tasks were compared"):
        state.list_tasks(limit=2, filters=[("name", "=", "train")])
    summary = {"cluster": {"summary": {}}}
    for _ in range(2):
        head.says({"node_id_to_summary": summary, "partial_failure_warning": "pid 77 did not answer"})
    with pytest.raises(RayStateApiException, match="pid 77"):
        state.summarize_tasks()
    with pytest.warns(UserWarning, match="pid 77") as caught:
        assert state.summarize_tasks(raise_on_missing_output=False) == summary
    assert caught[0].filename == __file__


def test_a_list_that_limit_cuts_is_whole(state, head):
    for _ in range(2):
        head.lists(TASK, total=5, num_after_truncation=1)
    with pytest.warns(UserWarning, match="1 of 5 tasks"):
        state.list_tasks(limit=1, _explain=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(state.list_tasks(limit=1)) == 1


def test_refusals_say_why(state, head):
    from iosdk.util.state.exception import RayStateApiException, ServerUnavailable

    head.refuses(400, "unknown filter key nme")
    with pytest.raises(RayStateApiException, match="unknown filter key nme"):
        state.list_tasks(filters=[("nme", "=", "x")])
    head.refuses(503, "no node answers")
    with pytest.raises(ServerUnavailable, match="no node answers"):
        state.list_tasks()
    head.refuses(404, "no such task")
    assert state.get_task("07") is None
    for ask in (state.list_tasks, lambda: state.get_task("07")):
        head.answers.append((404, b"there is nothing at this path"))
        with pytest.raises(RayStateApiException, match="older version"):
            ask()
    head.answers.append((500, b"the reason"))
    with pytest.raises(RayStateApiException, match="the reason"):
        state.list_tasks()


def test_a_head_that_hangs_is_given_up(state, head):
    head.answers.append(None)
    with pytest.raises(ConnectionError, match=r"not answered for 0\.2 s"):
        state.list_tasks(timeout=0.2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 10_001},
        {"limit": "5"},
        {"timeout": 0},
        {"filters": [("state", "<", "X")]},
        {"filters": [("state", "RUNNING")]},
        {"filters": ["state=RUNNING"]},
    ],
)
def test_wrong_arguments_are_refused_here(state, head, wrong):
    with pytest.raises(ValueError, match=r"must be|a filter is|predicate"):
        state.list_tasks(**wrong)
    assert head.asked == []


def test_without_a_head_it_says_what_to_start(state, tmp_path):
    with pytest.raises(ConnectionError, match="iosdk start --head"):
        state.list_tasks()
    with pytest.raises(ConnectionError, match="iosdk start --head") as caught:
        state.list_tasks(address=str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(NotImplementedError, match="network"):
        state.list_tasks(address="http://127.0.0.1:8265")


def test_a_private_cluster_has_none(start, monkeypatch):
    monkeypatch.setenv("IOSDK_ADDRESS", "/nonexistent")
    with pytest.raises(ConnectionError, match="private cluster"):
        start(address="local").util.state.list_tasks()


def test_the_rest_of_the_utilities_says_that_it_is_not_there(api):
    from iosdk import _not_yet

    assert api.util.state.list_tasks is not None and "state" not in _not_yet.UTIL and "util" not in _not_yet.NAMES
    for module, table in ((api.util, _not_yet.UTIL), (api.util.state, _not_yet.STATE)):
        for name in table:
            with pytest.raises(NotImplementedError, match=rf"\.{name} is not there yet"):
                getattr(module, name)
        with pytest.raises(AttributeError, match="nothing"):
            _ = module.nothing
    with pytest.raises(NotImplementedError, match="ActorPool"):
        from iosdk.util import ActorPool  # noqa: F401
