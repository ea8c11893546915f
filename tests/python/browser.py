"""A headless Chromium for tests, driven over a pair of pipes by the protocol of its developer tools."""

import base64
import json
import os
import select
import shutil
import signal
import tempfile
import time

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 60

FLAGS = [
    "--headless",
    "--no-sandbox",  # user namespaces are closed in many containers; only our own page is loaded
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-breakpad",
    "--no-first-run",
    "--no-proxy-server",
]


class Browser:
    """One tab. Use as a context manager: it leaves no process."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="b-")
        folder = self.folder.name
        ours, self.write = os.pipe()
        self.read, theirs = os.pipe()
        words = [PROGRAM, *FLAGS, f"--user-data-dir={folder}/profile", "about:blank"]
        env = dict(
            os.environ, HOME=folder, TMPDIR=folder, XDG_CONFIG_HOME=f"{folder}/config", XDG_CACHE_HOME=f"{folder}/cache"
        )
        quiet = os.open(f"{folder}/chromium.log", os.O_WRONLY | os.O_CREAT, 0o600)
        actions = [(os.POSIX_SPAWN_DUP2, ours, 3), (os.POSIX_SPAWN_DUP2, theirs, 4), (os.POSIX_SPAWN_DUP2, quiet, 2)]
        self.pid = os.posix_spawn(PROGRAM, words, env, file_actions=actions, setpgroup=0)
        for fd in (ours, theirs, quiet):
            os.close(fd)
        self.buffer, self.number, self.session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session = None
        os.write(self.write, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        while select.select([self.read], [], [], PATIENCE)[0] and os.read(self.read, 1 << 20):
            pass
        os.killpg(self.pid, signal.SIGKILL)  # whoever is left of it
        os.waitpid(self.pid, 0)
        os.close(self.read)
        os.close(self.write)
        self.folder.cleanup()

    def message(self, deadline):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser says nothing"
            piece = os.read(self.read, 1 << 20)
            assert piece, "the browser has ended"
            self.buffer += piece
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.write, json.dumps(request).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.message(deadline)
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer}"
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def goto(self, url):
        self.call("Page.navigate", url=url)

    def size(self, width, height, dark=False):
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, script):
        """The value of an expression in the page; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer}"
        return answer["result"].get("value")

    def text(self):
        return self.evaluate("document.body.innerText")

    def wait(self, script):
        """Until the expression is true in the page, which says so itself."""
        timeout = PATIENCE * 1000
        self.evaluate(
            f"""new Promise((resolve, reject) => {{
                const seen = () => {script};
                if (seen()) return resolve();
                const late = setTimeout(() => reject(new Error("not in time: " + document.body?.innerText)), {timeout});
                const watch = new MutationObserver(() => seen() && (clearTimeout(late), watch.disconnect(), resolve()));
                watch.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
            }})"""
        )

    def sees(self, text):
        self.wait(f"document.body?.innerText.includes({json.dumps(text)})")

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def complaints(self):
        """What the page did wrong: errors of scripts, and what its security policy refused."""
        self.evaluate("0")
        bad = [e for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        log = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        return bad + [entry for entry in log if entry["level"] == "error" and entry["source"] != "network"]

    def requests(self):
        """Address and headers of everything that the page asked for."""
        sent = [e["params"]["request"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [(request["url"], request["headers"]) for request in sent]
