"""A server in vLLM's place that is hard to end: it has shared memory, and a child that ignores SIGTERM.

    python -m tests.serve.fake_server PORT [--die]

Logs its segment's name and its child's number; answers /health. With --die it ends as vLLM does.
"""

from __future__ import annotations

import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing import resource_tracker, shared_memory

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
LOG = """\
(EngineCore pid=7) ERROR 11-23 04:51:41 [core.py:900] ValueError: The tokenizer has no <SpeechHere>.
(APIServer pid=1) Traceback (most recent call last):
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core: {}
"""


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    child = subprocess.Popen([sys.executable, "-c", STUBBORN], start_new_session=True)
    segment = shared_memory.SharedMemory(create=True, size=4096)
    resource_tracker.unregister(segment._name, "shared_memory")  # as after kill -9: nobody removes it
    sys.stderr.write(f"holds {segment.name} {child.pid}\n")
    if "--die" in sys.argv:
        time.sleep(0.5)
        sys.stderr.write(LOG)
        sys.exit(1)
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()


if __name__ == "__main__":
    main()
