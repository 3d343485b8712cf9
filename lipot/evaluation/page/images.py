"""Arrays as images inside the page."""

import base64
import io

import numpy as np
from PIL import Image

# Shades on both sides of no change: less (red) and more (blue).
_LESS, _MORE = np.array([178.0, 24.0, 43.0]), np.array([33.0, 102.0, 172.0])


def picture(image, low, high):
    """An image as the address of a PNG, values from `low` to `high`, cut beyond.

    Args:
        image: Array `(rows, columns, channels)` of 1 or 3 channels.
        low: Value of black.
        high: Value of white.

    Returns:
        String that starts with `data:`.
    """
    scaled = np.clip((image - low) / max(high - low, 1e-12), 0.0, 1.0)
    return _address(255.0 * np.repeat(scaled, 3 // image.shape[-1], axis=-1))


def change(image, reach):
    """A change of an image as the address of a PNG: blue is more, red is less, white is none.

    Colours are kept as they are in an image of three channels, around a middle grey.

    Args:
        image: Array `(rows, columns, channels)` of 1 or 3 channels.
        reach: Size of change that is shown in full colour.

    Returns:
        String that starts with `data:`.
    """
    share = np.clip(image / max(reach, 1e-12), -1.0, 1.0)
    if image.shape[-1] == 3:
        return _address(127.5 + 127.5 * share)
    end = np.where(share < 0.0, _LESS, _MORE)
    return _address(255.0 + np.abs(share) * (end - 255.0))


def _address(pixels):
    buffer = io.BytesIO()
    Image.fromarray(np.round(pixels).astype("uint8")).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
