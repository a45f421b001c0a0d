"""Which videos this PyAV can decode."""

import av
from av.codec import codecs_available

USUAL = ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "prores")  # phones, browsers, cameras, film
FALLBACKS = {"av1": ("libdav1d", "libaom-av1")}  # decoders of other libraries for the same


def missing_decoders() -> list[str]:
    """Names of usual codecs for which there is no decoder."""
    return [name for name in USUAL if not any(_can_decode(each) for each in (name, *FALLBACKS.get(name, ())))]


def version() -> str:
    """PyAV's, and that of FFmpeg's codecs inside."""
    return f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"


def _can_decode(name: str) -> bool:
    if name not in codecs_available:
        return False
    try:
        return not av.Codec(name, "r").is_encoder
    except ValueError:  # it can only be encoded
        return False
