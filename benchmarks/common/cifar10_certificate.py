"""What is proven of a network on the test images of CIFAR-10."""

import numpy as np

import lipot

RADII = {"36/255": 36 / 255, "72/255": 72 / 255, "108/255": 108 / 255}


def certified_figures(model, data, points, batch_size=100):
    """Certifies the first test images, prints a summary and returns the figures.

    Args:
        model: Classifier of the images, in the dtype its certificate is about.
        data: What `lipot.datasets.load("cifar10")` returned.
        points: How many of the test images.
        batch_size: Images at once.

    Returns:
        Dictionary of shares and sizes.
    """
    x, y = data.x_test[:points], data.y_test[:points]
    certificate = lipot.certify(model, x, y, batch_size=batch_size)
    print(certificate.summary())
    return {
        "clean": float(certificate.correct.mean()),
        "certified": {name: certificate.accuracy(radius) for name, radius in RADII.items()},
        "lipschitz_constant_before_head": certificate.lipschitz,
        "largest_rounding": float(certificate.rounding.max()),
        "weights": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
        "note": data.note,
    }
