"""Reading images that nobody has checked: any path, PIL image or array in, uint8 RGB out, or one clear error.

What a viewer would show is what comes out: the content says what a file is, not its name; EXIF orientation is applied,
colours are converted to sRGB as the file's profile says, transparency lies on white, 16-bit greys are scaled (not
clipped), of an animation the first frame is taken. Only the size may be less: a JPEG file comes at a half, a quarter or
an eighth of its width and height as long as the shorter side keeps 1,024 px, or what the caller needs. That takes a
fraction of the time and memory, and is still more than any model looks at.

`opening` finds the decoder, `colours` makes RGB of what it yields, `reading` joins them; `folders` finds the files.
"""

from rrzoo.images.folders import Found, find, walk
from rrzoo.images.given import ImageArray, ImageLike, Images, listed
from rrzoo.images.opening import DECODING, FORMATS, MAX_PIXELS, SUFFIXES
from rrzoo.images.parallel import in_order
from rrzoo.images.reading import SHORTER_SIDE, read, read_all, read_bytes
from rrzoo.images.squares import limit_detail, to_square

__all__ = [
    "DECODING",
    "FORMATS",
    "MAX_PIXELS",
    "SHORTER_SIDE",
    "SUFFIXES",
    "Found",
    "ImageArray",
    "ImageLike",
    "Images",
    "find",
    "in_order",
    "limit_detail",
    "listed",
    "read",
    "read_all",
    "read_bytes",
    "to_square",
    "walk",
]
