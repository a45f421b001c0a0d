import liblzfse
import numpy as np

from cut3r.io.lzfse import read_lzfse


def test_what_apple_compresses_comes_back(tmp_path):
    content = np.linspace(1, 3, 50_000, dtype=np.float32).tobytes()
    compressed = liblzfse.compress(content)
    assert compressed[:4] == b"bvx2" and len(compressed) < len(content)
    (tmp_path / "depth").write_bytes(compressed)
    assert read_lzfse(tmp_path / "depth") == content
