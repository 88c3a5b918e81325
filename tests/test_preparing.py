"""The wait for compiled loops is explained when they are compiled, and only then."""

import importlib.util

from neurodeploy.preparing import prepare

KERNEL = """
from numba import njit

@njit(cache=True)
def inner(x):
    return x + 1

@njit(cache=True)
def kernel(x):
    return inner(x) * 2
"""


def _kernel(path):
    spec = importlib.util.spec_from_file_location("kernel_of_a_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.kernel


def test_only_what_is_not_in_the_cache_is_announced_and_once(tmp_path, caplog):
    path = tmp_path / "kernel_of_a_test.py"
    path.write_text(KERNEL)
    prepare(_kernel(path), (1,))
    assert [record.message for record in caplog.records] == [
        "compiling the emulator's loops, once after each installation: some 20 s"
    ]
    caplog.clear()
    again = _kernel(path)
    prepare(again, (1,))
    assert not caplog.records
    assert again.signatures
