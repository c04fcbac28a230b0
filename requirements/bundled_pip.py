"""The pip that Python brings along for new environments, run from its wheel: to install it first takes seconds.

PYTHON requirements/bundled_pip.py [ARGUMENT…]     the arguments are those of `pip`
"""

import runpy
import sys
import sysconfig
from pathlib import Path

try:
    import ensurepip
except ModuleNotFoundError:
    sys.exit("this Python has no ensurepip, which brings pip; on Debian and Ubuntu: apt-get install python3-venv")

folders = [sysconfig.get_config_var("WHEEL_PKG_DIR"), Path(ensurepip.__file__).parent / "_bundled"]
wheels = [wheel for folder in folders if folder for wheel in Path(folder).glob("pip-*.whl")]
if not wheels:
    sys.exit(f"pip's wheel was expected in one of these folders: {', '.join(str(each) for each in folders if each)}")
sys.path.insert(0, str(wheels[0]))
runpy.run_module("pip", run_name="__main__", alter_sys=True)
