"""Files that are not images, damaged images, and files with misleading names or headers."""

import io
import struct
import zlib
from functools import cache

import numpy as np

RNG_SEED = 0  # of the pixels in valid images


def encoded(image, kind, **settings):
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def chunk(kind, content):
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth=8, color=2, *, extra=b"", data=b""):
    """Return a PNG with any header, whose pixels may be missing."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@cache
def sound_images():
    """Return small images of every format and mode that Pillow can write, by name."""
    from PIL import Image

    Image.init()
    rng = np.random.default_rng(RNG_SEED)
    color = Image.fromarray(rng.integers(0, 256, (24, 20, 3)).astype(np.uint8))
    gray = color.convert("L")
    deep = Image.fromarray(rng.integers(0, 65536, (24, 20)).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    frames = [color, color.rotate(90), gray.convert("RGB")]
    animation = {"save_all": True, "append_images": frames[1:]}
    images = {
        "color.jpg": (color, "JPEG", {}),
        "gray.jpg": (gray, "JPEG", {}),
        "progressive.jpg": (color, "JPEG", {"progressive": True}),
        "exif.jpg": (color, "JPEG", {"exif": exif, "icc_profile": bytes(200), "comment": b"a comment"}),
        "cmyk.jpg": (color.convert("CMYK"), "JPEG", {}),
        "ycck.tif": (color.convert("CMYK"), "TIFF", {"compression": "tiff_lzw"}),
        "color.png": (color, "PNG", {"exif": exif, "icc_profile": b"no profile"}),
        "one bit.png": (gray.convert("1"), "PNG", {}),
        "palette.png": (color.convert("P"), "PNG", {"transparency": bytes(range(256))}),
        "gray alpha.png": (gray.convert("LA"), "PNG", {}),
        "alpha.png": (color.convert("RGBA"), "PNG", {}),
        "deep.png": (deep, "PNG", {}),
        "animated.png": (color, "PNG", animation),
        "animated.gif": (color, "GIF", animation),
        "color.bmp": (color, "BMP", {}),
        "palette.bmp": (color.convert("P"), "BMP", {}),
        "color.ppm": (color, "PPM", {}),
        "gray.pgm": (gray, "PPM", {}),
        "deep.pgm": (Image.fromarray(np.asarray(deep).astype(np.int32)), "PPM", {}),
        "color.tga": (color, "TGA", {"compression": "tga_rle"}),
        "color.tif": (color, "TIFF", {"exif": exif}),
        "deflate.tif": (color, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "pages.tif": (color, "TIFF", animation),
        "float.tif": (Image.fromarray(np.linspace(0, 1, 480, dtype=np.float32).reshape(24, 20)), "TIFF", {}),
        "integer.tif": (Image.fromarray(np.arange(480, dtype=np.int32).reshape(24, 20) * 100), "TIFF", {}),
    }
    for name, kind, settings in (
        ("color.webp", "WEBP", {"exif": exif}),
        ("animated.webp", "WEBP", animation),
        ("color.jp2", "JPEG2000", {}),
        ("color.avif", "AVIF", {}),
    ):
        if kind in Image.SAVE:
            images[name] = (color, kind, settings)
    return {name: encoded(image, kind, **settings) for name, (image, kind, settings) in images.items()}


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 20 20
%%EndComments
newpath 0 0 moveto 20 20 lineto stroke
showpage
%%EOF
"""


@cache
def impostors():
    """Return contents of other kinds, by file names of images."""
    return {
        "empty.jpg": b"",
        "one byte.png": b"\x89",
        "text.png": b"once upon a time\n" * 20,
        "eps.jpg": EPS,
        "eps.png": EPS,
        "dos eps.jpg": b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 32, len(EPS), 0, 0, 0, 0) + bytes(4) + EPS,
        "postscript.tif": b"%!PS\n/Courier findfont 12 scalefont setfont (hello) show showpage\n",
        "document.jpg": b"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF",
        "vector.png": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "archive.jpg": b"PK\x03\x04" + bytes(60),
        "pickle.jpg": b"cos\nabort\n(tR.",
        "metafile.bmp": b"\xd7\xcd\xc6\x9a" + bytes(80),
        "icon.png": b"\0\0\1\0\1\0\x10\x10" + bytes(80),
        "sgi.png": b"\x01\xda\x00\x01" + bytes(600),
        "zeros.tga": bytes(300),
        "header.png": png(4, 4)[:33],
        "header.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0",
        "header.gif": b"GIF89a\x04\0\x04\0\0\0\0",
        "header.bmp": b"BM" + bytes(12) + struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 24, 0, 0, 0, 0, 0, 0),
        "header.tif": b"II*\0\x08\0\0\0\0\0",
        "header.webp": b"RIFF\x20\0\0\0WEBPVP8 ",
        "header.ppm": b"P6 4 4 255\n",
        "plain.ppm": b"P3 4 4 255\n" + b"9 " * 20,
        "not a number.ppm": b"P6 4 a 255\n",
        "no side.png": png(0, 4),
        "no palette.png": png(4, 4, 8, 3, data=zlib.compress(bytes(20))),
        "unknown depth.png": png(4, 4, 7, 2),
        "text bomb.png": png(4, 4, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7), 9))),
        "profile bomb.png": png(4, 4, extra=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**7), 9))),
        "damaged exif.png": png(2, 2, extra=chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"), data=zlib.compress(bytes(14))),
        "circular.tif": b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0100, 4, 1, 4) + b"\x08\0\0\0",
        "many entries.tif": b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 0x0100, 4, 2**31, 4) * 9,
    }


def bombs():
    """Return headers that claim more pixels than fit into memory."""
    side = 60000
    return {
        "bomb.png": png(side, side),
        "largest.png": png(2**31 - 1, 2**31 - 1),
        "bomb.gif": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\0;",
        "bomb.bmp": b"BM" + bytes(12) + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
        "bomb.ppm": b"P6 60000 60000 255\n",
        "bomb.tga": struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, side, side, 24, 0),
        "bomb.jpg": b"\xff\xd8\xff\xc0\0\x11\x08"
        + struct.pack(">2H", side, side)
        + b"\3\1\x11\0\2\x11\0\3\x11\0\xff\xda",
    }


def damaged(content, rng, n):
    """Yield copies of a file with some bytes changed, truncated, removed or inserted."""
    for _ in range(n):
        data = bytearray(content)
        for _ in range(rng.integers(1, 6)):
            place = int(rng.integers(0, len(data))) if rng.random() < 0.5 else int(rng.integers(0, min(64, len(data))))
            kind = rng.integers(0, 5)
            if kind == 0:
                data[place] = rng.integers(0, 256)
            elif kind == 1:
                data[place : place + 4] = bytes([int(rng.choice([0, 127, 255]))] * 4)
            elif kind == 2:
                del data[place : place + int(rng.integers(1, 9))]
            elif kind == 3:
                data[place:place] = rng.bytes(int(rng.integers(1, 9)))
            elif place > 16:
                del data[place:]
            data = data or bytearray(b"\0")
        yield bytes(data)


PROCESSES = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "socket.")


def read_each(folder):
    """Read each file in ``folder/class`` in three ways, and record audit events meanwhile.

    Returns a dict of ``events`` (processes and sockets), ``outcomes`` (the type of the error and whether it names the
    file, or "read", of each file), ``gray`` (files replaced on_error="warn") and ``left_out`` (by read_image_folder).
    """
    import sys
    import warnings
    from pathlib import Path

    from sktricks import ImageLoader, UnreadableImageWarning, read_image_folder

    warnings.simplefilter("ignore")
    files = sorted(map(str, Path(folder, "class").iterdir()))
    ImageLoader(8).transform([sound_images()["color.png"]])  # all imports happen here
    events, outcomes = [], {}
    sys.addaudithook(lambda event, args: events.append(event) if event.startswith(PROCESSES) else None)
    for file in files:
        try:
            ImageLoader(8).transform([file])
            outcomes[file] = "read"
        except Exception as error:
            outcomes[file] = f"{type(error).__name__} {file in str(error)}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = ImageLoader(8, on_error="warn").transform(files)
        table = read_image_folder(folder)
    return {
        "events": events,
        "outcomes": outcomes,
        "gray": [file for file, image in zip(files, images, strict=True) if (image == 128).all()],
        "left_out": sorted(set(files) - set(table.path)),
        "warnings": sum(issubclass(one.category, UnreadableImageWarning) for one in caught),
    }
