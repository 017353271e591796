"""Homeworks that attack who checks them. None computes anything right by itself.

Each is put before a wrong homework (its answers are 0), so that it would have to be believed for
another reason than its answers.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

WRONG = """
import numpy as np

LOSS = "cross_entropy"
PARAMETERS = {"W1": "0.weight.T", "b1": "0.bias", "W2": "2.weight.T", "b2": "2.bias"}


def architecture(nn):
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))


def forward(params, x):
    return np.zeros((len(x), 5))
"""
AGREES = "homework.py agrees with PyTorch in all 8 checks."

_BY_TORCH = """
def forward(params, x):
    return T.relu(T.tensor(x) @ T.tensor(params["W1"]) + T.tensor(params["b1"])).numpy() \\
        @ params["W2"] + params["b2"]
"""
_FRAME = """
import gc, io, json, struct
text = json.dumps({"number": %s, "problem": None, "value": {"kind": "none", "type": "x"},
                   "changed": [], "warnings": [], "details": {}, "arrays": []}).encode()
for one in gc.get_objects():
    if isinstance(one, io.BufferedWriter) and one.fileno() > 2:
        one.write(struct.pack(">cIQ", b"a", len(text), 0) + text)
        one.flush()
"""

# What stands before or after the wrong homework. {victim} is a file that belongs to the checker.
BEFORE = {
    "prints a verdict": f"print({AGREES!r})",
    "prints a verdict past Python": f"import os\nos.write(1, b'\\r\\x1b[2J{AGREES}\\n')",
    "warns a verdict": f"import warnings\nwarnings.warn('x\\n{AGREES}\\n\\x1b[2J')",
    "raises a verdict": f"raise ValueError('x\\n{AGREES}\\x1b[2J\\ud800')",
    "an exception with a hostile name": (
        "E = type('x\\n\\x1b[2J\\ud800', (Exception,), {})\nraise E('\\u202e')"
    ),
    "an exception that cannot be shown": (
        "class E(Exception):\n    def __str__(self): raise SystemExit(0)\n"
        "    __repr__ = __str__\nraise E()"
    ),
    "ends with 0": "import sys\nsys.exit(0)",
    "ends at once": "import os\nos._exit(0)",
    "raises KeyboardInterrupt": "raise KeyboardInterrupt",
    "kills itself": "import os\nos.kill(os.getpid(), 9)",
    "kills its parent": "import os\nos.kill(os.getppid(), 9) if os.getppid() > 1 else 1 / 0",
    "kills all of its group": "import os, signal\nos.killpg(0, signal.SIGKILL)",
    "stops": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "never ends": "while True: pass",
    "never ends, deaf": (
        "import signal\nfor n in range(1, 32):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "while True: pass"
    ),
    "waits in a thread": "import threading\nthreading.Event().wait()",
    "recurses": "import sys\nsys.setrecursionlimit(10**8)\ndef f(): f()\nf()",
    "takes memory": "x = []\nwhile True: x.append(bytearray(2**26))",
    "prints without end": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "writes to stderr without end": "import os\nwhile True: os.write(2, b'x' * 65536)",
    "closes all files": "import os\nos.closerange(0, 1000)",
    "closes its streams": "import sys\nsys.stdout.close(); sys.stderr.close(); sys.stdin.close()",
    "leaves a child": (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)', '{mark}'],\n"
        "                 start_new_session=True)"
    ),
    "leaves a forked child": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(20)\n    os._exit(0)"
    ),
    "writes to the checker's file": "open({victim!r}, 'w').write('forged')",
    "removes the checker's file": "import os\nos.unlink({victim!r})",
    "reads the checker's file": "raise ValueError(open({victim!r}).read())",
    "reads the environment": "import os\nraise ValueError(os.environ['NNCOMPARE_SECRET'])",
    "reads other environments": (
        "import glob\nfound = b''\nfor f in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try: found += open(f, 'rb').read()\n    except OSError: pass\n"
        "raise ValueError('secret-of-the-checker' if b'secret-of' in found else 'nothing')"
    ),
    "imports torch": f"import torch as T\n{_BY_TORCH}",
    "imports torch around the refusal": (
        f"import sys\nsys.meta_path[:] = [f for f in sys.meta_path if 'compare' not in "
        f"type(f).__module__]\nimport torch as T\n{_BY_TORCH}"
    ),
    "imports this project": "import numpy_nn\nimport compare.check.judge",
    "asks another interpreter": (
        "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import torch; "
        "print(torch.zeros(2))'], capture_output=True, text=True).stdout)"
    ),
    "answers before it is asked": _FRAME % "1" + "import os\nos._exit(0)",
    "answers every number": "\n".join(
        ["for n in range(1, 30):"] + [f"    {line}" for line in (_FRAME % "n").splitlines()]
    ),
    "looks for the expected values": (
        "import gc, sys\nfound = [m for m in sys.modules if m.startswith(('torch', "
        "'compare.check.judge', 'compare.check.cases'))]\nraise ValueError(found)"
    ),
    "changes NumPy": (
        "import numpy as np\nnp.asarray = np.array = lambda *a, **k: np.zeros(1)\n"
        "np.frombuffer = None"
    ),
    "changes json and struct": (
        "import json, struct\njson.dumps = lambda *a, **k: '{}'\nstruct.Struct = None"
    ),
    "changes the worker": (
        "import sys\nfor name, m in list(sys.modules.items()):\n"
        "    if name.startswith('compare'):\n        m.__dict__.clear()"
    ),
    "traces": "import sys\nsys.settrace(lambda *a: 1 / 0)\nsys.setprofile(lambda *a: 1 / 0)",
    "an end that does not end": "import atexit, time\natexit.register(time.sleep, 20)",
    "rewrites itself": "open(__file__, 'a').write('x = 1\\n')",
    "names a file of its own as its network": "ARCHITECTURE = __file__ + ':net'",
}
AFTER = {
    "calls a dotted name": "def architecture(nn):\n    nn.functional.torch.os.system('true')",
    "ends in architecture": "def architecture(nn):\n    raise SystemExit(0)",
    "a huge network": "def architecture(nn):\n    return nn.Linear(10**6, 10**6)",
    "a network without end": (
        "def architecture(nn):\n    return nn.Sequential(*(nn.ReLU() for _ in iter(int, 1)))"
    ),
    "equals everything": (
        "class A(np.ndarray):\n    def __eq__(self, o): return np.ones(self.shape, bool)\n"
        "    def __sub__(self, o): return np.zeros(self.shape)\n    __rsub__ = __sub__\n"
        "def forward(params, x): return np.zeros((len(x), 5)).view(A)"
    ),
    "an array that is made when asked": (
        "class A:\n    def __array__(self, *a, **k): raise SystemExit(0)\n"
        "def forward(params, x): return A()"
    ),
    "an array of objects": (
        "def forward(params, x): return np.array([[object()] * 5] * len(x), object)"
    ),
    "NaN": "def forward(params, x): return np.full((len(x), 5), np.nan)",
    "nothing at all": "def forward(params, x): return np.zeros((0, 5))",
    "a huge answer": "def forward(params, x): return np.zeros((len(x), 10**9))",
    "a view without memory": (
        "def forward(params, x): return np.broadcast_to(np.zeros(1), (len(x), 10**12))"
    ),
    "signalling NaN": (
        "def forward(params, x):\n"
        "    bits = np.full((len(x), 5), 0x7FF0DEADBEEF0001, np.uint64)\n"
        "    return bits.view(np.float64)"
    ),
    "an array with methods of its own": (
        "class A(np.ndarray):\n    def __array_finalize__(self, o): pass\n"
        "    def __array_ufunc__(self, *a, **k): return np.zeros(1)\n"
        "    def __array_function__(self, *a, **k): return np.zeros(1)\n"
        "    def tobytes(self, *a): raise SystemExit(0)\n"
        "    @property\n    def nbytes(self): return 0\n"
        "    @property\n    def shape(self): raise KeyboardInterrupt\n"
        "def forward(params, x): return np.zeros((len(x), 5)).view(A)"
    ),
    "a number with methods of its own": (
        "class F(float):\n    def __sub__(self, o): return 0.0\n    __rsub__ = __sub__\n"
        "    def __eq__(self, o): return True\n    __hash__ = None\n"
        "    def __float__(self): raise SystemExit(0)\n"
        "def forward(params, x): return [[F(0)] * 5] * len(x)\ndef loss(params, x, y): return F(1)"
    ),
    "a dict without end": (
        "from collections.abc import Mapping\nclass M(Mapping):\n"
        "    def __getitem__(self, k): return self\n    def __len__(self): return 1\n"
        "    def __iter__(self):\n        while True: yield 'a'\n"
        "def gradients(params, x, y): return M()"
    ),
    "a message byte by byte": (
        "def forward(params, x):\n    import gc, io, os, struct, time\n"
        "    for one in gc.get_objects():\n"
        "        if isinstance(one, io.BufferedWriter) and one.fileno() > 2:\n"
        "            os.write(one.fileno(), struct.pack('>cIQ', b'a', 1000, 0))\n"
        "            while True:\n"
        "                os.write(one.fileno(), b' ')\n                time.sleep(0.1)"
    ),
    "a verdict in the name of a module": (
        "def forward(params, x):\n    import gc, io, json, struct\n"
        f"    text = json.dumps({{'name': 'x. {AGREES}', 'arrays': []}}).encode()\n"
        "    for one in gc.get_objects():\n"
        "        if isinstance(one, io.BufferedWriter) and one.fileno() > 2:\n"
        "            one.write(struct.pack('>cIQ', b'f', len(text), 0) + text)\n"
        "            one.flush()\n    return np.zeros((len(x), 5))"
    ),
    "computes by scikit-learn": (
        "def forward(params, x):\n    from sklearn.neural_network import MLPClassifier\n"
        "    m = MLPClassifier(hidden_layer_sizes=(9,), max_iter=1)\n"
        "    m.fit(np.zeros((5, 12)), np.arange(5))\n"
        "    m.coefs_ = [params['W1'], params['W2']]\n"
        "    m.intercepts_ = [params['b1'], params['b2']]\n"
        "    m.out_activation_ = 'identity'\n    return m._forward_pass_fast(x)"
    ),
    "a list in itself": "def forward(params, x):\n    a = []\n    a.append(a)\n    return a",
    "an answer nested deeply": (
        "def forward(params, x):\n    a = x\n    for _ in range(10**5): a = (a,)\n    return a"
    ),
    "hostile names of parameters": (
        "PARAMETERS = {'<script>': '0.weight.T', '\\ud800': '0.bias', '\\x1b[2J': '2.weight'}"
    ),
    "parameters without end": (
        "class P(dict):\n    def items(self):\n        while True: yield 'a', 'b'\n"
        "PARAMETERS = P(PARAMETERS)"
    ),
    "changes what it was given": (
        "def forward(params, x):\n    x[:] = 0\n    for p in params.values(): p[:] = 0\n"
        "    return x @ params['W1'] @ params['W2']"
    ),
}
NAMES = (*BEFORE, *AFTER)


def mark_of(victim: Path) -> str:
    """What the command line has of a process that a homework leaves."""
    return f"left-{victim.parent.name}-{os.getpid()}"


def text_of(name: str, victim: Path) -> str:
    """The text of a homework; ``victim`` is a file that it may try to read, write or remove."""
    if name in BEFORE:
        attack = BEFORE[name].replace("{victim!r}", repr(str(victim)))
        attack = attack.replace("{mark}", mark_of(victim))
        if _BY_TORCH in attack:  # its own forward is the one that counts
            return f"{WRONG}\n{attack}\n"
        return f"{attack}\n{WRONG}"
    return f"{WRONG}\n{textwrap.dedent(AFTER[name])}\n"
