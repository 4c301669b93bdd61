"""Whether the installed torch is built for what was asked for: `torch_build.py cpu|cuda`, exit code 1 where it is not.

torch==2.13.0 is met by 2.13.0+cpu and by PyPI's CUDA build. uv takes the other one without a word where an index or a
folder of wheels has no build for this Python, and --no-deps leaves a CUDA build without its libraries.
"""

import importlib.util
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    wanted = sys.argv[1]
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        sys.exit("torch is not installed")
    # Not imported: a CUDA build without its libraries could not be.
    cuda = runpy.run_path(str(Path(spec.origin).with_name("version.py")))["cuda"]
    found = "cpu" if cuda is None else "cuda"
    if found != wanted:
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        sys.exit(
            f"The torch that was found for Python {python} is a {found.upper()} build, and a {wanted.upper()} build is "
            "needed. uv looks into PIP_FIND_LINKS (for the CPU), UV_INDEX_URL, UV_EXTRA_INDEX_URL and uv.toml: "
            "take out what is in the way, or set PYTHON to one that the folder of wheels has a build for"
        )
